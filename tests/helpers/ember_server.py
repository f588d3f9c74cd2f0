"""Real servers on loopback, over a small random model with a random SAE."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx"):
    pytest.importorskip(package)

EIGHT_B = "meta-llama/Meta-Llama-3.1-8B-Instruct"
SEVENTY_B = "meta-llama/Llama-3.3-70B-Instruct"
API = "/api/inference/v1"


@dataclass
class Server:
    """A running `python -m mindgap.ember`. `said`: its lines of standard error so far."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    url: str = ""

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


Start = Callable[..., Server]


def write_model(folder: Path, tokenizer: object) -> None:
    """A random Llama with room for long prompts: letters are its tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),  # type: ignore[arg-type]
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # ends hardly ever by itself, so that replies are long enough to meet each other
        model.lm_head.weight[:4] *= 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, small_model: SimpleNamespace) -> list[str]:
    """Settings that name a model on disk, with its SAE and the catalogue of that."""
    from random_sae import random_sae

    from mindgap.backends.local import LocalBackend
    from mindgap.core.model import ModelSpec
    from mindgap.core.records import Message
    from mindgap.sae import native_format
    from mindgap.training.corpus import Text
    from mindgap.training.describe import describe

    folder = tmp_path_factory.mktemp("ember")
    write_model(folder / "model", small_model.tokenizer)
    (folder / "sae").mkdir()
    native_format.save(random_sae(32, features=48), folder / "sae" / "sae.safetensors")
    spec = ModelSpec("small", hf_id=str(folder / "model"), sae=str(folder / "sae"))
    endpoint = LocalBackend(device="cpu").open(spec)
    texts = [
        Text((Message("user", f"{number} is what?"),), f"It is {word * 3} and {number} more of {word}.")
        for number, word in enumerate(("funny ", "boats ", "rain ", "numbers ", "gold ") * 6)
    ]
    describe(endpoint.engine, endpoint.sae, texts, lambda done: None).save(folder / "sae" / "catalogue.parquet")
    return [
        *("model=tiny", "model.name=small", "model.embedded=false", "backend.device=cpu", "backend.max_rows=8"),
        *(f"model.hf_id={folder / 'model'}", f"model.sae={folder / 'sae'}", f"store={folder / 'store.sqlite'}"),
    ]


@pytest.fixture(scope="session")
def start(served: list[str]) -> Iterator[Start]:
    """Starts a server with further settings, and waits until it listens. All are stopped in the end."""
    running: list[Server] = []
    over = False

    def begin(*settings: str, environment: dict[str, str] | None = None) -> Server:
        assert not over, "a thread of a test that has failed: nobody would stop the server"
        port = [] if any(setting.startswith("port=") for setting in settings) else ["port=0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "mindgap.ember", *served, *port, *settings],
            env={**os.environ, "MINDGAP_SWEEP": "none", **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        server = Server(process)
        running.append(server)
        listening = threading.Event()

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                server.said.append(line)
                if address := re.search(r"listening on (http://\S+)", line):
                    server.url = address[1]
                    listening.set()
            listening.set()

        threading.Thread(target=read, daemon=True).start()
        assert listening.wait(120) and server.url, "".join(server.said)
        return server

    yield begin
    over = True
    for server in running:
        server.stop(signal.SIGKILL)


@dataclass(frozen=True)
class Here:
    """A server in a thread of this process, so that tests can look at it from within."""

    url: str
    service: Any

    def wait(self, reached: Callable[[Any], bool], seconds: float = 60) -> None:
        """Until `reached(worker)`."""
        end = time.monotonic() + seconds
        while not reached(self.service.worker):
            assert time.monotonic() < end, "the worker never got there"
            time.sleep(0.01)


@contextlib.contextmanager
def serving(settings: Sequence[str]) -> Iterator[Here]:
    import uvicorn

    from mindgap.ember.__main__ import _configured, _listen, _opened
    from mindgap.ember.app import application

    read, config = _configured([*settings, "port=0"])
    service = _opened(read, config)
    with _listen(read) as listening:
        running = uvicorn.Server(
            uvicorn.Config(
                application(service), log_level="error", access_log=False, ws="none", timeout_graceful_shutdown=20
            )
        )
        # A daemon, and stopped whatever the test did: Python waits for any other thread before it exits.
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Here(f"http://127.0.0.1:{listening.getsockname()[1]}", service)
        finally:
            running.should_exit = True
            thread.join(60)
        assert not thread.is_alive(), "the server does not stop"


@pytest.fixture
def serve(served: list[str]) -> Callable[..., contextlib.AbstractContextManager[Here]]:
    """A further server in this process, with these settings beside the usual ones."""
    return lambda *settings: serving([*served, *settings])


@pytest.fixture(scope="session")
def server(served: list[str]) -> Iterator[Here]:
    """The server that tests share which do not stop it."""
    with serving(served) as here:
        yield here


@pytest.fixture
def loop() -> Iterator[None]:
    """The event loop that the SDK's synchronous client expects its thread to have."""
    asyncio.set_event_loop(made := asyncio.new_event_loop())
    yield
    made.close()
    asyncio.set_event_loop(None)
