"""Any server of Goodfire's API, through its SDK. Importing this module loads no SDK; opening a model does."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mindgap.backends.base import Capability
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.providers.chat import check_settings

if TYPE_CHECKING:
    from mindgap.backends.goodfire.endpoint import GoodfireEndpoint

CAN: frozenset[Capability] = frozenset({"generate", "features"})

EXAMPLE = "http://127.0.0.1:8080"
"""Where `python -m mindgap.ember` listens unless told otherwise."""


@dataclass(frozen=True)
class GoodfireBackend:
    """`backend=goodfire`. Fields: see conf/backend/goodfire.yaml."""

    url_env: str = "GOODFIRE_BASE_URL"
    key_env: str | None = "GOODFIRE_API_KEY"
    concurrency: int = 64
    timeout: float = 600.0
    max_retries: int = 8

    def __post_init__(self) -> None:
        check_settings("backend", None, self.concurrency, self.timeout, self.max_retries)

    @property
    def name(self) -> str:
        return "goodfire"

    @property
    def base_url(self) -> str:
        """The server's address, without a slash at its end; empty where none is configured."""
        return os.environ.get(self.url_env, "").strip().rstrip("/")

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """See `Backend.lacks`. Whether the server answers is found out when a model is opened."""
        missing = []
        if model.adapter is not None:
            missing.append("a way to load an adapter (model.adapter)")
        if not model.goodfire_id:
            missing.append(f"the name that the server knows {model.name} by (model.goodfire_id)")
        if importlib.util.find_spec("goodfire") is None:
            missing.append("the SDK: pip install 'mindgap[goodfire]'")
        names = {
            "loglikelihood": "log-likelihoods",
            "text": "prompts without a chat template",
            "residual": "steering vectors",
        }
        if beyond := sorted(names[need] for need in needs - CAN):
            missing.append(f"a way to do {' and '.join(beyond)}: Goodfire's API has none")
        if not self.base_url:
            missing.append(f"a server of Goodfire's API (its own was withdrawn in late 2025). {self.start}")
        elif (wrong := _wrong_address(self.base_url)) is not None:
            missing.append(f"an address in {self.url_env} such as {EXAMPLE}: {wrong}")
        elif self.key_env is not None and not os.environ.get(self.key_env):
            missing.append(
                f"a key (set {self.key_env}, to anything where the server asks for none, or backend.key_env to the "
                "variable that holds it)"
            )
        if model.template:
            missing.append("a way to set the chat template (model.template): the API has none")
        return missing

    def open(self, model: ModelSpec) -> GoodfireEndpoint:
        """See `Backend.open`. Asks the server for one token, which tells what really answers under the model's name."""
        if missing := self.lacks(model, frozenset()):
            raise UnavailableError(f"backend=goodfire cannot run model={model.name}: it lacks {'; '.join(missing)}")
        from mindgap.backends.goodfire.endpoint import GoodfireEndpoint

        return GoodfireEndpoint.connect(self, model.goodfire_id or "")

    @property
    def start(self) -> str:
        """How to start a server on this machine, in two lines."""
        key = f" {self.key_env}=any" if self.key_env else ""
        return (
            "These two lines start one here:\n"
            "    python -m mindgap.ember model=tiny\n"
            f"    export {self.url_env}={EXAMPLE}{key}"
        )


def _wrong_address(url: str) -> str | None:
    """What is wrong with a server's address, without repeating it where it may hold a secret; None if nothing is."""
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        return "what is set there holds a name, a password or a query"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"not {url!r}"
    return None
