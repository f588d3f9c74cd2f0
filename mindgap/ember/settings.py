"""What `python -m mindgap.ember` can be told on its command line. Imports nothing heavy."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from mindgap.core.errors import ConfigError

LLAMAS = {"8b": "meta-llama/Meta-Llama-3.1-8B-Instruct", "70b": "meta-llama/Llama-3.3-70B-Instruct"}
"""The only names that the SDK knows."""


@dataclass(frozen=True)
class Settings:
    """aliases: further names that the model answers under, by a handle. host, port: where to listen; port 0 = any.

    api_key_env: environment variable with the key that clients must give; empty = none is asked for. queue: requests
    that may wait for the model. max_body: bytes of a request. max_messages: in a conversation. max_tokens: in a reply.
    drain: seconds that replies get to end when the server is stopped. seed: of Auto Steer, as in `python -m mindgap`.
    store: file in which what Auto Steer generates is kept.
    """

    aliases: Mapping[str, str] = field(default_factory=lambda: dict(LLAMAS))
    host: str = "127.0.0.1"
    port: int = 8080
    api_key_env: str = ""
    queue: int = 256
    max_body: int = 4 * 2**20
    max_messages: int = 256
    max_tokens: int = 4096
    drain: int = 300
    seed: int = 0
    store: str = "outputs/store.sqlite"

    def __post_init__(self) -> None:
        for name, least in (("queue", 1), ("max_body", 1024), ("max_messages", 1), ("max_tokens", 1), ("drain", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be between 0 and 65535, not {self.port}")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, not {self.seed}")
        key = self.api_key
        if not self.loopback and key is None:
            raise ConfigError(
                f"host={self.host} can be reached from other machines, so clients must need a key: put one into an "
                "environment variable and name it, for example api_key_env=EMBER_API_KEY"
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def api_key(self) -> str | None:
        """The key itself; None where none is asked for. Raises ConfigError if its variable is empty."""
        if not self.api_key_env:
            return None
        key = os.environ.get(self.api_key_env, "")
        if not key.strip():
            raise ConfigError(f"api_key_env={self.api_key_env}: that environment variable is not set, or is empty")
        return key


def read(plain: Mapping[str, str]) -> Settings:
    """Settings from `name=value` texts; `aliases.HANDLE` adds a name, or takes one away if it is empty."""
    aliases = dict(LLAMAS)
    values: dict[str, str | int] = {}
    kinds = {field.name: field.type for field in fields(Settings)}
    for name, text in plain.items():
        if name.startswith("aliases."):
            aliases[name.removeprefix("aliases.")] = text
        elif kinds[name] == "int":
            try:
                values[name] = int(text)
            except ValueError as error:
                raise ConfigError(f"{name}={text}: must be a whole number") from error
        else:
            values[name] = text
    return Settings({handle: name for handle, name in aliases.items() if name}, **values)  # type: ignore[arg-type]
