"""The application: both APIs, their errors, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mindgap import __version__
from mindgap.ember import chat, routes
from mindgap.ember.errors import RequestError
from mindgap.ember.guard import App, Guard, error_body
from mindgap.ember.metrics import Metrics
from mindgap.ember.service import ClientGone, Service

log = logging.getLogger(__name__)

GOODFIRE, OPENAI = "/api/inference/v1", "/v1"
LONGEST_ECHO = 200
"""Characters of a wrong value that a 422 repeats."""
MOST_PROBLEMS = 20
"""Of one request that its answer tells."""
CODES = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    "unsupported_value": "unsupported_parameter",
    "json_invalid": None,
}
"""OpenAI's words for pydantic's."""


class Answer(JSONResponse):
    """JSON in ASCII: what it repeats of a request may hold what UTF-8 has no place for."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


def application(service: Service) -> App:
    """The whole of it, as ASGI. The worker runs from start-up to shutdown."""

    @contextlib.asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        with service.worker:
            warming = asyncio.ensure_future(asyncio.to_thread(_warm_up, service))
            yield
            warming.cancel()
        if service.maker is not None:
            service.maker.close()

    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(title="mindgap.ember", version=__version__, lifespan=running, docs_url=None, redoc_url=None)
    paths = {"/healthz", "/metrics", f"{GOODFIRE}/models", f"{OPENAI}/models"}
    for prefix, router in (
        (GOODFIRE, chat.router(service)),
        (OPENAI, chat.router(service)),
        (GOODFIRE, routes.router(service)),
    ):
        app.include_router(router, prefix=prefix)
        paths |= {f"{prefix}{route.path}" for route in router.routes if isinstance(route, APIRoute)}
    metrics = Metrics(service.worker, frozenset(paths))
    _about(app, service, metrics)
    _errors(app)
    return Guard(app, key=service.settings.api_key, max_body=service.settings.max_body, metrics=metrics)


def _warm_up(service: Service) -> None:
    """Make what the first search would wait for."""
    if service.features is not None:
        service.features.relevance("warm")


def _about(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        alive = service.worker.alive
        return PlainTextResponse("ok\n" if alive else "the model's thread has ended\n", 200 if alive else 503)

    @app.get("/metrics")
    async def counted() -> Response:
        return PlainTextResponse(metrics.render(), media_type="text/plain; version=0.0.4")

    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(service, name) for name in service.names]}

    async def one_model(name: str) -> dict[str, Any]:
        service.check_model(name)
        return _model(service, name)

    for prefix in (GOODFIRE, OPENAI):
        app.get(f"{prefix}/models")(models)
        app.get(f"{prefix}/models/{{name:path}}")(one_model)


def _model(service: Service, name: str) -> dict[str, Any]:
    """What answers under a name, and what it is really."""
    features = service.features
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "mindgap",
        "alias_of": None if name == service.own_name else service.own_name,
        "identity": service.endpoint.identity,
        "system_fingerprint": service.fingerprint(name),
        "context": service.endpoint.engine.attention.shared,
        "sae": features.sae if features else None,
        "sae_layer": features.layer if features else None,
        "features": features.count if features else None,
    }


def _errors(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        code = "model_not_found" if error.status == 404 and error.message.startswith("Model ") else None
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return Answer(error_body(request.url.path, error.status, error.message, code), error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = [_told(problem) for problem in error.errors()[:MOST_PROBLEMS]]
        if request.url.path.startswith(f"{OPENAI}/"):
            where = [".".join(map(str, problem["loc"][1:])) for problem in problems]
            words = "; ".join(f"{place}: {problem['msg']}" for place, problem in zip(where, problems, strict=True))
            code = CODES.get(problems[0]["type"], "invalid_value")
            return Answer(error_body(request.url.path, 400, words, code, where[0] or None), 400)
        return Answer({"detail": problems}, 422)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        body = error_body(request.url.path, error.status_code, str(error.detail))
        return Answer(body, error.status_code, headers=error.headers)

    @app.exception_handler(ClientGone)
    async def gone(request: Request, error: ClientGone) -> Response:
        return Response(status_code=499)  # nobody reads it; it is counted

    @app.exception_handler(500)
    async def broken(request: Request, error: Exception) -> Response:
        return Answer(error_body(request.url.path, 500, "Internal Server Error"), 500)


def _told(error: dict[str, Any]) -> dict[str, Any]:
    """One of pydantic's reasons, without long or unspeakable inputs (NaN, whole bodies)."""
    told = {"type": error["type"], "loc": list(error["loc"]), "msg": error["msg"]}
    value = error.get("input")
    speakable = (
        value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
    )
    if speakable and len(str(value)) <= LONGEST_ECHO and "input" in error:
        told["input"] = value
    context = error.get("ctx", {})
    with contextlib.suppress(TypeError, ValueError):
        json.dumps(context, allow_nan=False)
        if context:
            told["ctx"] = context
    return told
