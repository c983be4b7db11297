"""An OpenAI-compatible server of the tests' own, over a model of tests/models: it holds answers to a JSON schema.

It stands for vLLM and SGLang, which can't run here: like them it says `max_model_len`, refuses what doesn't fit in the
context with a 400, and generates under `response_format` with xgrammar. It shares no code with shotlog's own engine.
One request is generated at a time. GET /asked lists every request that was answered, for tests that count them.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Refused(Exception):
    """An answer that isn't 200: status and message."""


class Model:
    """A model, its processor, and grammars for its tokens."""

    def __init__(self, folder: str) -> None:
        import torch
        import xgrammar
        from transformers import AutoModelForImageTextToText, AutoProcessor

        torch.set_num_threads(1)
        self._processor = AutoProcessor.from_pretrained(folder)
        self._model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        text = self._model.config.get_text_config()
        self.max_model_len: int = text.max_position_embeddings
        tokenizer = self._processor.tokenizer
        self._ends = {tokenizer.eos_token_id}
        self._compiler = xgrammar.GrammarCompiler(
            xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=text.vocab_size)
        )
        self._lock = threading.Lock()
        self._grammar = lru_cache(lambda schema: self._compiler.compile_json_schema(schema, any_whitespace=False))

    def generate(self, body: dict[str, Any]) -> tuple[str, str, dict[str, int]]:
        """Text, finish_reason and usage. Raises Refused."""
        import torch
        from xgrammar.contrib.hf import LogitsProcessor

        inputs = self._processor.apply_chat_template(
            [_turn(message) for message in body["messages"]],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
        asked, most = inputs["input_ids"].shape[1], int(body.get("max_tokens") or 256)
        if asked + most > self.max_model_len:
            raise Refused(
                400,
                f"This model's maximum context length is {self.max_model_len} tokens. However, you requested "
                f"{asked + most} tokens ({asked} in the messages, {most} in the completion).",
            )
        held = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
        holding = [LogitsProcessor(self._grammar(json.dumps(held)))] if held else []
        with self._lock, torch.inference_mode():
            written = self._model.generate(**inputs, max_new_tokens=most, do_sample=False, logits_processor=holding)
        tokens = written[0, asked:].tolist()
        usage = {"prompt_tokens": asked, "completion_tokens": len(tokens), "total_tokens": asked + len(tokens)}
        text = self._processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return text, "stop" if tokens and tokens[-1] in self._ends else "length", usage


def _turn(message: dict[str, Any]) -> dict[str, Any]:
    return {"role": message["role"], "content": [_part(part) for part in _parts(message)]}


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: dict[str, Any]) -> dict[str, Any]:
    from PIL import Image

    if part["type"] == "text":
        return part
    return {"type": "image", "image": Image.open(io.BytesIO(_picture(part))).convert("RGB")}


def _picture(part: dict[str, Any]) -> bytes:
    return base64.b64decode(part["image_url"]["url"].partition(",")[2])


def _noted(body: dict[str, Any]) -> dict[str, Any]:
    """What tests may know of a request: its pictures by a digest, its texts, and whether it was held to a schema."""
    parts = [part for message in body["messages"] for part in _parts(message)]
    return {
        "pictures": [hashlib.sha256(_picture(part)).hexdigest()[:16] for part in parts if part["type"] != "text"],
        "texts": [part["text"] for part in parts if part["type"] == "text"],
        "held": "response_format" in body,
        "stream": bool(body.get("stream")),
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model
    name: str
    key: str | None
    asked: list[dict[str, Any]]

    def log_message(self, *args: Any) -> None:
        """Nothing: tests read what was asked at /asked."""

    def do_GET(self) -> None:
        if self.path == "/asked":
            self._send(200, self.asked)
        elif self.path == "/v1/models" and self._signed_in():
            row = {"id": self.name, "object": "model", "owned_by": "tests", "max_model_len": self.model.max_model_len}
            self._send(200, {"object": "list", "data": [row]})
        else:
            self._send(404, _error("not found"))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions" or body["model"] != self.name:
            self._send(404, _error(f"The model `{body['model']}` does not exist."))
        elif self._signed_in():
            try:
                text, finish_reason, usage = self.model.generate(body)
            except Refused as refused:
                self._send(refused.args[0], _error(refused.args[1]))
                return
            self.asked.append(_noted(body))
            if body.get("stream"):
                self._stream(text, finish_reason)
            else:
                message = {"role": "assistant", "content": text}
                choice = {"index": 0, "finish_reason": finish_reason, "message": message}
                self._send(200, {**self._about("chat.completion"), "choices": [choice], "usage": usage})

    def _signed_in(self) -> bool:
        if self.key and self.headers.get("Authorization") != f"Bearer {self.key}":
            self._send(401, _error("Unauthorized"))
            return False
        return True

    def _about(self, kind: str) -> dict[str, Any]:
        return {"id": "held", "object": kind, "created": 0, "model": self.name}

    def _send(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, text: str, finish_reason: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for delta, ended in [*(({"content": piece}, None) for piece in _pieces(text)), ({}, finish_reason)]:
            chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": ended}]}
            self.wfile.write(f"data: {json.dumps({**self._about('chat.completion.chunk'), **chunk})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


def _pieces(text: str, length: int = 8) -> Iterator[str]:
    yield from (text[at : at + length] for at in range(0, len(text), length))


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="tiny", help="what the model is called here")
    parser.add_argument("--key", help="refuse requests without this key")
    given = parser.parse_args()
    told = {"model": Model(given.folder), "name": given.name, "key": given.key, "asked": []}
    handler = type("Told", (Handler,), told)
    with ThreadingHTTPServer(("127.0.0.1", given.port), handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
