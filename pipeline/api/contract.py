"""What goes over the wire of the completions: OpenAI's chat completions, as far as they make sense here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

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


BRANCHES = ("a-text", "a-picture", "said", "parts")
"""What the alternatives are called of which one part, and one content, is one: a caller doesn't know these names."""


def _of_part(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return {"text": "a-text", "image_url": "a-picture"}.get(kind) if isinstance(kind, str) else None


def _of_content(content: Any) -> str:
    return "parts" if isinstance(content, list) else "said"


Part = Annotated[Annotated[TextPart, Tag("a-text")] | Annotated[ImagePart, Tag("a-picture")], Discriminator(_of_part)]
Parts = Annotated[list[Part], Field(min_length=1, max_length=MOST_PARTS)]


class Message(BaseModel):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[Annotated[Text, Tag("said")] | Annotated[Parts, Tag("parts")], Discriminator(_of_content)]


class StreamOptions(BaseModel):
    """include_usage: one more event, before the last, says what the answer took."""

    model_config = ConfigDict(strict=True)

    include_usage: bool = False


class ChatRequest(BaseModel):
    """What is asked. Parameters of OpenAI's that aren't here are taken and mean nothing."""

    model_config = ConfigDict(
        strict=True,  # true is no temperature
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
        },
    )

    model: Annotated[str | None, Field(max_length=500, description="As /v1/models lists it.")] = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def heat(self) -> float:
        """The temperature, none where it isn't given."""
        return self.temperature if self.temperature and self.temperature >= LEAST_HEAT else 0.0


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
