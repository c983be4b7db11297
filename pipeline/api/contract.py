"""What goes over the wire of the completions: OpenAI's chat completions, as far as they make sense here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_MESSAGES = 200
MOST_PARTS = 100
MOST_CHARACTERS = 200_000
"""Of one text."""

MOST_URL_CHARACTERS = 40 << 20
"""A data URL holds a whole picture."""

LEAST_HEAT = 0.01
"""A lower temperature than this is none: probabilities would leave what a GPU can count with."""

Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]


class TextPart(BaseModel):
    """A text within a message."""

    type: Literal["text"]
    text: Text


class MediaUrl(BaseModel):
    """Where an image, or a short video, lies."""

    url: Annotated[str, Field(min_length=1, max_length=MOST_URL_CHARACTERS, description="http(s) or data:image/…")]


class ImagePart(BaseModel):
    """An image, or a short video, of which frames are shown with their timecodes."""

    type: Literal["image_url"]
    image_url: MediaUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(BaseModel):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: Text | Annotated[list[Part], Field(min_length=1, max_length=MOST_PARTS)]


class StreamOptions(BaseModel):
    """include_usage: one more event, before the last, says what the answer took."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """What is asked. Parameters of OpenAI's that aren't here are taken and mean nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": "text", "text": "What is on the table?"},
                                {"type": "image_url", "image_url": {"url": "https://example.com/table.jpg"}},
                            ],
                        }
                    ]
                }
            ]
        }
    )

    model: Annotated[str | None, Field(max_length=500, description="As /v1/models lists it.")] = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    temperature: Annotated[float, Field(ge=0, le=2), AfterValidator(lambda t: t if t >= LEAST_HEAT else 0.0)] = 0.0
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    stream: bool = False
    stream_options: StreamOptions | None = None


class Usage(BaseModel):
    """Tokens, 0 where nobody counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    """The one answer. finish_reason: length where it ran into max_tokens."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Model(BaseModel):
    """A model that can be asked for."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "shotlog"


class Models(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]
