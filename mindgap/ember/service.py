"""Everything that answering a request needs, opened once."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request as HttpRequest

from mindgap import __version__
from mindgap.backends.local import LocalEndpoint
from mindgap.backends.local.chat import Chat
from mindgap.core.errors import PromptError
from mindgap.core.records import Message
from mindgap.ember.catalogue import Features
from mindgap.ember.errors import RequestError
from mindgap.ember.inspection import conversation
from mindgap.ember.schemas import ChatMessage
from mindgap.ember.settings import Settings
from mindgap.ember.steering import Maker
from mindgap.ember.worker import Task, Worker
from mindgap.steering.autosteer import AutoSteer
from mindgap.storage.store import Store

Made = TypeVar("Made")


@dataclass(frozen=True)
class Service:
    """An open model as clients see it. features: None where the model has no SAE."""

    settings: Settings
    endpoint: LocalEndpoint
    worker: Worker
    features: Features | None
    maker: Maker | None
    chat: Chat  # a copy of the engine's, with its tokenizer: that one is used in the model's thread
    _tokenizing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, settings: Settings, endpoint: LocalEndpoint, autosteer: AutoSteer) -> Service:
        """The worker is not started yet."""
        worker = Worker(endpoint.engine, queue=settings.queue)
        features = maker = None
        if "features" in endpoint.can:
            features = Features(endpoint)
            maker = Maker(endpoint, worker, autosteer, Store(Path(settings.store)), settings.seed)
        return cls(settings, endpoint, worker, features, maker, copy.deepcopy(endpoint.engine.chat))

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, for any thread but the model's."""
        return self.chat.tokenizer

    # -- names -------------------------------------------------------------------------------------------------------

    @property
    def own_name(self) -> str:
        return self.endpoint.model.name if self.endpoint.model else "local"

    @property
    def names(self) -> tuple[str, ...]:
        """All names that the model answers under, its own first."""
        return tuple(dict.fromkeys([self.own_name, *self.settings.aliases.values()]))

    def check_model(self, name: str) -> None:
        """Raises RequestError, 404, for a model that is not served."""
        if name not in self.names:
            raise RequestError(404, f"Model {name!r} not found. Served here: {', '.join(self.names)}.")

    def fingerprint(self, name: str) -> str:
        """What really answers under this name."""
        own = f"mindgap-{__version__}/{self.endpoint.identity}"
        return own if name == self.own_name else f"{own} (alias: {name} is {self.own_name} here)"

    # -- what needs features -----------------------------------------------------------------------------------------

    @property
    def with_features(self) -> Features:
        """Raises RequestError, 400, where the model has no SAE."""
        if self.features is None:
            raise RequestError(400, f"Model {self.own_name!r} has no sparse autoencoder, so it has no features.")
        return self.features

    @property
    def with_maker(self) -> Maker:
        """Raises RequestError, 400, where the model has no SAE."""
        self.with_features  # noqa: B018 - says why there is none
        assert self.maker is not None
        return self.maker

    # -- conversations -----------------------------------------------------------------------------------------------

    async def tokens(self, messages: Sequence[ChatMessage], *, reply: bool = False) -> list[int]:
        """Token ids of a conversation.

        Raises RequestError, 400, for one that is too long or that the model's chat template refuses.

        Args:
            reply: Up to where the assistant begins a new turn, whoever spoke last.
        """
        return await asyncio.to_thread(self._tokens, messages, reply)

    def _tokens(self, messages: Sequence[ChatMessage], reply: bool) -> list[int]:
        if len(messages) > self.settings.max_messages:
            most = self.settings.max_messages
            raise RequestError(400, f"Too many messages: {len(messages)} where {most} are the most.")
        plain = tuple(Message(message.role, message.content) for message in messages)
        try:
            with self._tokenizing:
                ids = self.chat.prompt(plain) if reply else conversation(self.chat, plain)
        except PromptError as error:
            raise RequestError(400, f"These messages cannot be put to the model: {error}") from error
        context = self.endpoint.engine.attention.shared
        if len(ids) + reply > context:
            raise RequestError(400, f"The messages are {len(ids)} tokens long; the model's context is {context}.")
        return ids

    # -- the model's thread ------------------------------------------------------------------------------------------

    async def done(self, request: HttpRequest, task: Task) -> Any:
        """What the task returns. If the client goes away before it has begun, it is not done."""
        future = self.worker.run(task)
        try:
            return await unless_gone(request, asyncio.wrap_future(future))
        finally:
            future.cancel()

    async def aside(self, work: Callable[[], Made]) -> Made:
        """Do what takes a while but does not need the model in another thread."""
        return await asyncio.to_thread(work)


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def unless_gone(request: HttpRequest, work: asyncio.Future[Made]) -> Made:
    """The result of `work`; it is cancelled and ClientGone raised when the client disconnects first."""
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        either: set[asyncio.Future[Any]] = {work, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGone
        return work.result()
    finally:
        gone.cancel()
        work.cancel()


async def _disconnected(request: HttpRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
