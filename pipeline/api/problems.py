"""Errors as the API says them: {"error": {code, message, param, type}} with a status, and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Route

from pipeline.api.contract import BRANCHES
from pipeline.errors import (
    MediaError,
    MuteError,
    ShotlogError,
    StoreError,
    TooManyError,
    UnfitError,
    UsageError,
    without_next_step,
)

_log = logging.getLogger("shotlog.api")

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_CODES = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}

_THEIRS = ("address_refused", "too_large")
"""Codes of media whose next step is the caller's."""

BROKE = "the server broke on this request, and has logged why"

BUSY_S = 5
"""After so long a client may try again where the server can't answer just now."""


class Told(BaseModel):
    """What an error says. code: for programs. param: what of the request it is about."""

    code: str
    message: str
    param: str | None = None
    type: str


class ErrorBody(BaseModel):
    """The body of every error."""

    error: Told


class Problem(Exception):
    """A request that isn't answered. status: of HTTP."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, error: ShotlogError | MediaError, *, param: str | None = None) -> Problem:
        """What one of shotlog's own errors means to who asked: media and words are theirs, the rest is the server's."""
        if isinstance(error, MediaError):
            sentence = str(error) if error.code in _THEIRS else without_next_step(error.code, str(error))
            return cls(422, error.code, sentence, param=param)
        if isinstance(error, MuteError):
            return cls(422, "answers_no_questions", "this server's model tags, and answers no questions", param="model")
        if isinstance(error, UsageError | UnfitError):
            return cls(422, "invalid_request", str(error), param=param)
        if isinstance(error, StoreError):
            _log.error("%s", error)
            error = StoreError("a store of the server's is out of reach: its log says which")
        if isinstance(error, TooManyError):
            return cls(429, "too_many_jobs", str(error), headers={"Retry-After": str(BUSY_S)})
        return cls(503, "unavailable", str(error), headers={"Retry-After": str(BUSY_S)})

    def body(self) -> dict[str, object]:
        legible = self.message.encode("utf-8", "replace").decode()  # a caller's words may hold halves of characters
        told = Told(code=self.code, message=legible, param=self.param, type=type_of(self.status))
        return ErrorBody(error=told).model_dump()

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def type_of(status: int) -> str:
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def install(app: FastAPI) -> None:
    """Let the app answer every error in this form."""

    @app.exception_handler(Problem)
    async def _problem(_request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"][1:] if part not in BRANCHES]
        if first["type"] == "json_invalid":
            return Problem(400, "invalid_json", "the body is no JSON").response()
        sentence = str(first["msg"])
        if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
            where.append("type")
            sentence = "type is text or image_url"
        return Problem(422, "invalid_request", sentence, param=".".join(where) or None).response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code, headers = _CODES.get(error.status_code, "refused"), error.headers
        if error.status_code == 405:  # Starlette tells of the first route with this path alone
            headers = {"Allow": ", ".join(sorted(_methods(app, request)))}
        return Problem(error.status_code, code, str(error.detail), headers=headers).response()

    @app.exception_handler(ShotlogError)
    async def _ours(_request: Request, error: ShotlogError) -> JSONResponse:
        return Problem.of(error).response()


def _methods(app: FastAPI, request: Request) -> set[str]:
    """What may be done at the path of a request."""
    routes = (route for route in app.routes if isinstance(route, Route))
    return {method for route in routes if route.path_regex.match(request.url.path) for method in route.methods or ()}


DOCUMENTED = {status: {"model": ErrorBody} for status in (400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 503)}
"""What any route may answer, for the OpenAPI document."""
