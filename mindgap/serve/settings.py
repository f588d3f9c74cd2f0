"""What `python -m mindgap.serve` can be told on its command line, and the commands that come of it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mindgap.core.errors import ConfigError

PYTHON_VARIABLE = "MINDGAP_VLLM_PYTHON"
"""Environment variable that names the interpreter of vLLM's own environment."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
ROOM = ("sums", "vectors", "reads", "changes", "comparisons")
"""Settings of the plugin: what a request may hold."""


@dataclass(frozen=True)
class Settings:
    """See `HELP` in `mindgap.serve.__main__`."""

    python: str = ""
    gpus: int = 0
    replicas: int = 1
    host: str = "127.0.0.1"
    port: int = 8000
    dtype: str = "auto"
    sequences: int = 256
    length: int = 0
    memory: float = 0.9
    api_key_env: str = ""
    eager: str = "auto"
    wait: int = 1800
    sums: int = 16
    vectors: int = 16
    reads: int = 8
    changes: int = 8
    comparisons: int = 4
    change_layers: str = "all"
    options: str = ""
    logs: str = "outputs/serve"
    show: bool = False

    def __post_init__(self) -> None:
        least = {"gpus": 0, "replicas": 1, "sequences": 1, "length": 0, "wait": 1, **dict.fromkeys(ROOM, 1)}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} must be at least {bound}, not {getattr(self, name)}")
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype={self.dtype}: choose {', '.join(DTYPES)}")
        if self.eager not in ("auto", "true", "false"):
            raise ConfigError(f"eager={self.eager}: choose auto, true or false")
        if not 1 <= self.port <= 65536 - self.replicas:
            raise ConfigError(
                f"port={self.port}: {self.replicas} servers take as many ports from there on, below 65536"
            )
        if not 0 < self.memory <= 1:
            raise ConfigError(f"memory must be above 0 and at most 1, not {self.memory}")
        if self.gpus % self.replicas:
            raise ConfigError(f"gpus={self.gpus} cannot be shared evenly by replicas={self.replicas}")
        if self.api_key_env and not os.environ.get(self.api_key_env):
            raise ConfigError(f"api_key_env={self.api_key_env}: that environment variable is not set, or is empty")
        if self.host not in ("127.0.0.1", "localhost", "::1") and not self.api_key_env:
            raise ConfigError(
                f"host={self.host} can be reached from other machines, so clients must need a key: put one into an "
                "environment variable and name it, for example api_key_env=VLLM_KEY"
            )
        _ = self.blocks

    @property
    def interpreter(self) -> str:
        """The Python of vLLM's environment. Raises ConfigError where none is named."""
        python = self.python or os.environ.get(PYTHON_VARIABLE, "")
        if not python:
            raise ConfigError(
                "name the Python that vLLM is installed for: python=/path/to/its/venv/bin/python, or set "
                f"{PYTHON_VARIABLE}. To make one: python3.11 -m venv vllm-env; vllm-env/bin/pip install vllm "
                "./vllm_plugin (docs/scale.md)"
            )
        return python

    @property
    def numeric_type(self) -> str:
        """The numeric type, told."""
        return self.dtype if self.dtype != "auto" else "bfloat16" if self.gpus else "float32"

    @property
    def runs_eagerly(self) -> bool:
        """Whether nothing is compiled: on a CPU that takes minutes at every start, and gains little."""
        return self.eager == "true" or (self.eager == "auto" and not self.gpus)

    @property
    def blocks(self) -> list[int] | None:
        """Blocks at which changes may act; None = all. Raises ConfigError."""
        if self.change_layers == "all":
            return None
        try:
            return [int(part) for part in self.change_layers.split(",") if part.strip()]
        except ValueError as error:
            raise ConfigError(f"change_layers={self.change_layers}: all, or numbers of blocks: 19,20") from error

    def plugin(self, version: str) -> dict[str, Any]:
        """The plugin's part of vLLM's `--additional-config`."""
        room = {name: getattr(self, name) for name in ROOM}
        return {"version": version, **room, **({} if self.blocks is None else {"change_layers": self.blocks})}

    def command(self, replica: int, *, folder: str, name: str, version: str) -> list[str]:
        """The command that starts a server.

        Args:
            replica: Its number, from 0.
            folder: The model's folder, or its id on the hub.
            name: What it is served as.
            version: The plugin's.
        """
        # by the module: the `vllm` command imports what a CPU build does not have
        words = [self.interpreter, "-m", "vllm.entrypoints.openai.api_server"]
        words += ["--model", folder, "--served-model-name", name]
        words += ["--host", self.host, "--port", str(self.port + replica), "--dtype", self.numeric_type]
        words += ["--generation-config", "vllm", "--max-num-seqs", str(self.sequences)]
        words += ["--additional-config", json.dumps({"mindgap": self.plugin(version)}, sort_keys=True)]
        words += ["--max-model-len", str(self.length)] if self.length else []
        if self.gpus:
            words += ["--tensor-parallel-size", str(self.gpus // self.replicas)]
            words += ["--gpu-memory-utilization", str(self.memory)]
        words += ["--enforce-eager"] if self.runs_eagerly else []
        return words + shlex.split(self.options)

    def environment(self, replica: int) -> dict[str, str]:
        """What a server's environment says beside this one's."""
        added = {"MINDGAP_VLLM": "1", "VLLM_USE_V2_MODEL_RUNNER": "0"}
        if self.gpus:
            each = self.gpus // self.replicas
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            devices = visible.split(",") if visible else [str(number) for number in range(self.gpus)]
            added["CUDA_VISIBLE_DEVICES"] = ",".join(devices[replica * each : (replica + 1) * each])
        if self.api_key_env:
            added["VLLM_API_KEY"] = os.environ[self.api_key_env]
        return added

    @property
    def urls(self) -> list[str]:
        """Addresses of all servers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return [f"http://{host}:{self.port + replica}" for replica in range(self.replicas)]


def read(plain: Mapping[str, str]) -> Settings:
    """Settings from `name=value` texts. Raises ConfigError."""
    kinds = {field.name: str(field.type) for field in fields(Settings)}
    values: dict[str, Any] = {}
    for name, text in plain.items():
        try:
            values[name] = _read(kinds[name], text)
        except ValueError as error:
            what = {"int": "a whole number", "float": "a number", "bool": "true or false"}[kinds[name]]
            raise ConfigError(f"{name}={text}: must be {what}") from error
    return Settings(**values)


def _read(kind: str, text: str) -> Any:
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    return {"int": int, "float": float, "str": str}[kind](text)
