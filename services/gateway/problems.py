"""Every error that leaves the gateway is a problem document (RFC 9457)."""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.runtime.failures import (
    PROBLEM_CONTENT_TYPE,
    BrokenLaw,
    HeliographError,
    NotFound,
    Refused,
    as_heliograph_error,
    problem_document,
    retry_after_s,
)
from libs.runtime.logs import get_logger

_log = get_logger(__name__)

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "failure"],
    "properties": {
        "type": {"type": "string", "description": "`urn:heliograph:problem:` and the code."},
        "title": {"type": "string", "description": "One sentence per class of failure."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What failed, why, and what to do."},
        "code": {"type": "string", "description": "Stable; machines compare it."},
        "failure": {"type": "string", "description": "Class: refused, not-found, transient, ..."},
        "field": {"type": "string", "description": "The member of the request that is wrong."},
        "retry_after_s": {"type": "integer", "description": "Seconds, as in `Retry-After`."},
    },
    "example": {
        "type": "urn:heliograph:problem:views-away",
        "title": "Another system is slow or away.",
        "status": 503,
        "detail": "The database does not answer. Try again.",
        "code": "views-away",
        "failure": "transient",
        "retry_after_s": 1,
    },
}
"""What a problem document looks like."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe problem answers for OpenAPI."""
    meaning = {
        400: "The message cannot be understood.",
        404: "There is no such thing.",
        409: "A rule said no.",
        413: "The body is too large.",
        415: "The body has another content type.",
        422: "A value of the request breaks its rule; `field` names it.",
        503: "Something that this needs is away; `Retry-After` says when to try again.",
    }
    content = {PROBLEM_CONTENT_TYPE: {"schema": PROBLEM_SCHEMA}}
    return {status: {"description": meaning[status], "content": content} for status in statuses}


def problem(error: BaseException) -> Response:
    """Make the answer that tells an error; in ASCII, whatever a stranger's text holds."""
    ours = as_heliograph_error(error)
    headers = {"Cache-Control": "no-store"}
    if (seconds := retry_after_s(ours)) is not None:
        headers["Retry-After"] = str(seconds)
    body = json.dumps(problem_document(ours), separators=(",", ":"))
    return Response(body, ours.status, headers, media_type=PROBLEM_CONTENT_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of an application become a problem document."""
    app.add_exception_handler(HeliographError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Surprises)


async def _on_ours(_: Request, error: Exception) -> Response:
    return problem(error)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for it"
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return problem(Refused("invalid-request", f"{place}: {first['msg']}.", field=place))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    if error.status_code == 404:  # noqa: PLR2004
        return problem(NotFound("no-such-page", "There is nothing at this address."))
    answer = problem(
        Refused(f"http-{error.status_code}", f"{error.detail}.", status=error.status_code)
    )
    if error.status_code == 405:  # noqa: PLR2004
        answer.headers["Allow"] = (error.headers or {}).get("Allow", "GET")
    _log.info("request-refused", status=error.status_code, path=request.url.path[:200])
    return answer


class Surprises:
    """Answers what nobody expected, and logs it.

    Nothing rises to the server while there is still an answer to give: the server would close the
    connection, which may carry further requests of the same client.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap what answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_started = False

        async def watched(message: Message) -> None:
            nonlocal is_started
            is_started = is_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return  # nobody is left to be told
        except Exception as error:
            _log.error("request-failed", path=scope.get("path", "")[:200], exc_info=error)
            if is_started or scope["type"] != "http":
                raise  # half an answer: only the end of the connection tells that it is one
            answer = problem(BrokenLaw("internal-error", "The request met a mistake of ours."))
            await answer(scope, receive, send)
