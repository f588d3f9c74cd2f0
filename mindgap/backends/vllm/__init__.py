"""`backend=vllm`: a model behind vLLM servers that steer. Importing this module loads no torch."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mindgap.backends.base import Capability
from mindgap.backends.local import CAN, LocalBackend, lacks_sae, lacks_settings, lacks_weights
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.providers.chat import check_settings

if TYPE_CHECKING:
    from mindgap.backends.vllm.endpoint import VllmEndpoint

CLIENT_VERSION = 1
"""Part of every content key. Raise it when a change alters what is asked of a server."""

EXAMPLE = "http://127.0.0.1:8000"
"""Where `python -m mindgap.serve` listens unless told otherwise."""


@dataclass(frozen=True)
class VllmBackend:
    """Servers started by `python -m mindgap.serve` (conf/backend/vllm.yaml).

    Attributes:
        urls: Their addresses; all serve the same model, and each request goes to any one of them.
        concurrency: Requests under way at each server.
        timeout: Seconds until a call counts as failed.
        max_retries: Further tries of a request that failed, on average over the servers.
        key_env: Name of the environment variable with the servers' key; None = no key needed.
        device: Where the model is loaded here, if something has to be read from it: see `LocalBackend`.
        dtype: Likewise.
    """

    urls: tuple[str, ...] = ()
    concurrency: int = 64
    timeout: float = 600.0
    max_retries: int = 5
    key_env: str | None = None
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        check_settings("backend", None, self.concurrency, self.timeout, self.max_retries)
        for url in self.urls:
            parts = urlsplit(url)
            if parts.username or parts.password or parts.query:
                raise ConfigError("backend.urls must hold no secret: name the variable that does in backend.key_env")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ConfigError(f"backend.urls: {url!r} is no address such as {EXAMPLE}")
        if repeated := {url for url in self.addresses if self.addresses.count(url) > 1}:
            raise ConfigError(f"backend.urls names {min(repeated)} twice")
        _ = self.reader

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "vllm"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The servers' addresses without `/v1`."""
        return tuple(url.rstrip("/").removesuffix("/v1").rstrip("/") for url in self.urls)

    @property
    def reader(self) -> LocalBackend:
        """What reads the model here: vectors and Auto Steer need its activations, which no server gives."""
        return LocalBackend(self.device, self.dtype)

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """See `Backend.lacks`. Whether the servers answer is found out when a model is opened."""
        made_here = needs & {"residual", "features"}  # vectors, once; then they are served
        missing = self.reader.lacks(model, needs) if made_here else self._files_lack(model)
        if model.adapter is not None:
            missing.append("a way to load an adapter (model.adapter): merge it into its model and serve that")
        if "text" in needs:
            missing.append("a way to take prompts without a chat template: its endpoint takes conversations alone")
        if not self.urls:
            missing.append(
                f"a server: python -m mindgap.serve model={model.name} starts one, then backend.urls=[{EXAMPLE}]"
            )
        if self.key_env is not None and not os.environ.get(self.key_env):
            missing.append(f"a key (set {self.key_env}, or backend.key_env to the variable that holds it)")
        return missing

    def _files_lack(self, model: ModelSpec) -> list[str]:
        """What stands between the model's tokenizer and this machine."""
        if absent := [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]:
            return [f"the packages {' and '.join(absent)}: pip install 'mindgap[local]'"]
        from mindgap.backends.local.embedded import embedded_model_lacks, packaged_of

        files = embedded_model_lacks(packaged=packaged_of(model)) if model.embedded else lacks_weights(model)
        return files + lacks_settings(model)

    def open(self, model: ModelSpec) -> VllmEndpoint:
        """See `Backend.open`. Asks every server which model it serves, and whether it steers."""
        if missing := self.lacks(model, frozenset()):
            raise UnavailableError(f"backend=vllm cannot run model={model.name}: it lacks {'; '.join(missing)}")
        from mindgap.backends.vllm.connect import connect

        return connect(self, model)

    def can(self, model: ModelSpec) -> frozenset[Capability]:
        """See `Endpoint.can`."""
        features: frozenset[Capability] = frozenset({"features"} if model.sae and not lacks_sae(model) else ())
        return (CAN - {"text"}) | features
