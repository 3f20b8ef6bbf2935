"""Who may call what: bearer tokens, scopes, the limits of bodies, and refusals as problem+json (RFC 9457)."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pxe_edge.api.body_process import LARGE_BYTES, UnfitBodyError
from pxe_edge.api.body_reader import FINDINGS
from pxe_edge.registry import tokens
from pxe_edge.registry.errors import ForbiddenError, RegistryError, TokenError
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.specsets import FindingsError

MAX_BODY_BYTES = 1 << 20
_BLOB = re.compile(r"/v1/images/[^/]+/blob")
"""The one call whose handler reads its body in pieces, after the token was looked at."""
log = logging.getLogger("edge.api")

TITLES = {
    401: "no token",
    403: "not with this token",
    404: "not found",
    405: "no such method",
    409: "conflict",
    410: "gone",
    413: "too large",
    422: "invalid",
    500: "the edge failed",
    503: "not now",
}


def problem(
    status: int, code: str, detail: str, *, hint: str | None = None, host: str | None = None, **more: Any
) -> JSONResponse:
    """An error answer; `more` are members of its own, such as findings or size."""
    body = {
        "title": TITLES.get(status, "error"),
        "status": status,
        "code": code,
        "detail": detail,
        "hint": hint,
        "host": host,
    }
    return JSONResponse({**body, **more}, status_code=status, media_type="application/problem+json")


def registry_of(request: Request) -> Registry:
    """The registry that the application was made with."""
    registry: Registry = request.app.state.registry
    return registry


Reg = Annotated[Registry, Depends(registry_of)]
_bearer = HTTPBearer(auto_error=False, description="The token of <data>/edge/tokens/")
Given = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def _scope_of(registry: Registry, token: str | None) -> tokens.Scope:
    if token is None:
        raise TokenError("this call needs a token", hint="Authorization: Bearer <token>")
    with registry.db.read() as session:
        scope = tokens.scope_of(session, token)
    if scope is None:
        raise TokenError("the token is not one of this site's", hint="RACKFLOW_TOKEN_FILE names its file")
    return scope


def require(*scopes: tokens.Scope) -> Callable[[Registry, HTTPAuthorizationCredentials | None], tokens.Scope]:
    """A dependency that lets these scopes in, and admin always."""

    def check(registry: Reg, given: Given) -> tokens.Scope:
        scope = _scope_of(registry, given.credentials if given is not None else None)
        if scope != "admin" and scope not in scopes:
            raise ForbiddenError(
                f"scope {scope} may not do this", hint=f"needs {' or '.join(('admin', *scopes))}"
            )
        return scope

    return check


Admin = Annotated[tokens.Scope, Depends(require())]
Worker = Annotated[tokens.Scope, Depends(require("worker"))]
Broker = Annotated[tokens.Scope, Depends(require("worker", "console"))]
Anybody = Annotated[tokens.Scope, Depends(require("worker", "console"))]


class BodyLimit:
    """Refuses bodies above 1 MiB before anything reads them whole; image blobs are let through.

    A body is read before the call looks at the token; a large one takes a while to read, so it is let in only
    with a token of this site's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes in."""
        if scope["type"] != "http" or (scope["method"] == "PUT" and _BLOB.fullmatch(scope["path"])):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or int(told) > MAX_BODY_BYTES:
            await self._refuse(scope, receive, send)
            return
        if int(told) >= LARGE_BYTES or b"transfer-encoding" in headers:
            registry: Registry = scope["app"].state.registry
            try:
                await run_in_threadpool(_scope_of, registry, _token(headers))
            except TokenError as error:
                await _refusal(Request(scope), error)(scope, receive, send)
                return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                raise HTTPException(413, f"a body has at most {MAX_BODY_BYTES} bytes")
            return message

        await self._app(scope, counted, send)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
        answer = problem(413, "too-large", f"a body has at most {MAX_BODY_BYTES} bytes")
        await answer(scope, receive, send)


def _token(headers: dict[bytes, bytes]) -> str | None:
    kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RegistryError)
    more: dict[str, Any] = {}
    if isinstance(error, FindingsError):
        more["findings"] = [finding.model_dump(mode="json") for finding in error.findings]
    return problem(error.status, error.code, error.detail, hint=error.hint, host=error.host, **more)


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _found([(e["loc"], e["msg"]) for e in error.errors()])


def _unfit(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UnfitBodyError)
    return _found(error.findings)


def _found(findings: Iterable[tuple[Iterable[str | int], str]]) -> JSONResponse:
    # The values themselves are left out: a password may be among them.
    said = "; ".join(
        f"{'.'.join(str(part) for part in place)}: {message}" for place, message in islice(findings, FINDINGS)
    )
    return problem(422, "invalid", said, hint="docs/openapi.json has the shape")


def _too_large(_request: Request, _error: Exception) -> JSONResponse:
    return problem(422, "invalid", "a number is too large to be one of ours", hint="64 bits are read")


def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(
        error.status_code, TITLES.get(error.status_code, "error").replace(" ", "-"), str(error.detail)
    )


async def _failed(request: Request, error: Exception) -> JSONResponse:
    log.error("event=failed method=%s path=%s", request.method, request.url.path, exc_info=error)
    return problem(500, "internal", f"{type(error).__name__} in the edge", hint="see the edge's log")


Handler = Callable[[Request, Exception], JSONResponse | Awaitable[JSONResponse]]


def install(app: FastAPI) -> None:
    """Errors as problem+json, and the limit."""
    app.add_exception_handler(RegistryError, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UnfitBodyError, _unfit)
    app.add_exception_handler(OverflowError, _too_large)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(BodyLimit)
