"""Chat completions, whole and streamed, in the form that Goodfire's SDK and OpenAI's clients both take."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mindgap.backends.local.rows import NOT_NUMBERS
from mindgap.core.records import Decoding
from mindgap.ember.controllers import Steered, compiled
from mindgap.ember.errors import RequestError
from mindgap.ember.guard import error_body
from mindgap.ember.schemas import ChatRequest
from mindgap.ember.service import Service, unless_gone
from mindgap.ember.worker import Generation, Piece

TEMPERATURE, TOP_P, MAX_TOKENS = 0.6, 0.9, 2048
"""Where a request does not say: what the SDK sends."""
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class _Answer:
    """What all parts of an answer have in common."""

    id: str
    created: int
    model: str
    fingerprint: str
    prompt_tokens: int

    def whole(self, choices: list[dict[str, Any]], events: Sequence[str], tokens: int) -> dict[str, Any]:
        return {**self._common("chat.completion", events), "choices": choices, "usage": self.usage(tokens)}

    def chunk(self, choices: list[dict[str, Any]], events: Sequence[str] = (), **more: Any) -> bytes:
        """One server-sent event. The SDK cuts what it reads at "data: ", so that must not come up in the text."""
        text = json.dumps({**self._common("chat.completion.chunk", events), "choices": choices, **more})
        escaped = text.replace("data: ", r"data:\u0020")
        return f"data: {escaped}\n\n".encode()

    def usage(self, tokens: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self.prompt_tokens + tokens,
        }

    def _common(self, kind: str, events: Sequence[str]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "gf_event_names": list(events) or None,
        }


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.post("/chat/completions")
    async def completions(request: Request, body: ChatRequest) -> Response:
        service.check_model(body.model)
        steered = compiled(body.controller, service.features)
        prompt = await service.tokens(body.messages, reply=True)
        replies = _Replies(_generations(service, body, prompt, steered))
        service.worker.submit(replies.generations)
        answer = _Answer(
            f"chatcmpl-{secrets.token_hex(12)}",
            int(time.time()),
            body.model,
            service.fingerprint(body.model),
            len(prompt),
        )
        if body.stream:
            usage = bool(body.stream_options and body.stream_options.include_usage)
            headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
            frames = _frames(replies, answer, usage)
            return _Stream(service, replies, frames, media_type="text/event-stream", headers=headers)
        try:
            return await unless_gone(request, asyncio.ensure_future(_whole(replies, answer)))
        finally:
            service.worker.cancel(replies.generations)

    return routes


class _Replies:
    """Pieces of one request's replies, brought from the model's thread to the event loop."""

    def __init__(self, generations: list[Generation]) -> None:
        loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()

        def deliver(number: int, piece: Piece) -> None:
            loop.call_soon_threadsafe(self._pieces.put_nowait, (number, piece))

        self.generations = [
            replace(generation, deliver=lambda piece, number=number: deliver(number, piece))  # type: ignore[misc]
            for number, generation in enumerate(generations)
        ]

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """(number of the reply, piece) until all have ended. Raises RequestError where the model failed."""
        left = len(self.generations)
        while left:
            number, piece = await self._pieces.get()
            if piece.error is not None:
                raise RequestError(400 if piece.error == NOT_NUMBERS else 500, f"No reply: {piece.error}.")
            left -= piece.finish_reason is not None
            yield number, piece


def _generations(service: Service, body: ChatRequest, prompt: list[int], steered: Steered) -> list[Generation]:
    asked = body.max_completion_tokens or body.max_tokens or min(MAX_TOKENS, service.settings.max_tokens)
    if asked > service.settings.max_tokens:
        most = service.settings.max_tokens
        raise RequestError(400, f"max_completion_tokens={asked}: this server gives replies of up to {most} tokens.")
    engine = service.endpoint.engine
    decoding = Decoding(
        max_tokens=min(asked, engine.attention.shared - len(prompt)),
        temperature=TEMPERATURE if body.temperature is None else body.temperature,
        top_p=TOP_P if body.top_p is None else body.top_p,
    )
    seed = secrets.randbits(63) if body.seed is None else body.seed
    added = service.tokenizer.get_added_vocab()
    return [
        Generation(
            prompt,
            decoding,
            seed + number,  # choices differ, and the first is what n=1 gives
            _nobody,
            steered.edits,
            steered.events,
            stops=tuple(text for text in body.stops if text not in added),
            stop_tokens=frozenset(added[text] for text in body.stops if text in added),
            whole=not body.stream,
        )
        for number in range(body.n or 1)
    ]


def _nobody(piece: Piece) -> None:
    """Where pieces go until somebody waits for them."""


async def _whole(replies: _Replies, answer: _Answer) -> Response:
    done = dict([piece async for piece in replies.pieces()])
    events = list(dict.fromkeys(name for piece in done.values() for name in piece.events))
    choices = [
        {
            "index": number,
            "message": {"role": "assistant", "content": piece.text},
            "finish_reason": piece.finish_reason,
            "logprobs": None,
        }
        for number, piece in sorted(done.items())
    ]
    body = json.dumps(answer.whole(choices, events, sum(piece.tokens for piece in done.values())))
    return Response(body, media_type="application/json")


class _Stream(StreamingResponse):
    """A stream whose replies are given up when it ends, however it ends."""

    def __init__(self, service: Service, replies: _Replies, frames: AsyncIterator[bytes], **more: Any) -> None:
        super().__init__(frames, **more)
        self._service, self._replies = service, replies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._service.worker.cancel(self._replies.generations)


async def _frames(replies: _Replies, answer: _Answer, usage: bool) -> AsyncIterator[bytes]:
    """Server-sent events, each in a piece of its own: the SDK cannot put split ones together."""
    tokens = 0
    try:
        async for number, piece in replies.pieces():
            tokens += piece.tokens
            choice = {
                "index": number,
                "delta": {"role": "assistant", "content": piece.text},
                "gf_token_index": piece.token,
                "finish_reason": piece.finish_reason,
            }
            yield answer.chunk([choice], piece.events)
        if usage:
            yield answer.chunk([], usage=answer.usage(tokens))
        yield DONE
    except RequestError as error:  # the status has been sent: the client sees a broken stream, or this
        told = error_body("/v1/", error.status, error.message)
        yield f"data: {json.dumps(told)}\n\n".encode()
