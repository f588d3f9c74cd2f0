"""Fixtures that several folders share."""

from __future__ import annotations

import concurrent.futures.thread
import os
import signal
import string
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest
from chat_server import chat_server  # noqa: F401
from chromium import Chromium, chromium_path

if TYPE_CHECKING:
    from mindgap.steering.bench import SteeringBench

CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def pytest_configure() -> None:
    """Processes that test side by side share the cores, and so do the programs that they start.

    A shell has what it starts in the background ignore Ctrl-C, and such programs would inherit that.
    """
    if beside := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(beside))))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What hostile tests print may hold half characters, which cannot be sent from one process to another."""
    report = yield
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_tests() -> Iterator[None]:
    """A thread that Python would wait for, or a process that holds the terminal's pipe, and `make test` never ends."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # its server would end with this process
    pools = concurrent.futures.thread._threads_queues  # type: ignore[attr-defined]  # these end by themselves
    known = {threading.main_thread(), threading.current_thread(), *pools}
    threads = [thread.name for thread in threading.enumerate() if not thread.daemon and thread not in known]
    processes = []
    for process in psutil.Process().children(recursive=True):
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if process.status() != psutil.STATUS_ZOMBIE and "multiprocessing.resource_tracker" not in command:
            processes.append(command)
            process.kill()
    assert not threads and not processes, f"left over after the last test: threads {threads}, processes {processes}"


@pytest.fixture(scope="session")
def small_model() -> SimpleNamespace:
    """A random Llama of 4 blocks with a word-level tokenizer, built here: `model`, `tokenizer`."""
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    symbols = ["</s>", "<user>", "<system>", "<assistant>", " ", *string.ascii_letters, *string.digits, *".,!?:;'-\n"]
    tokenizer = Tokenizer(models.WordLevel({symbol: i for i, symbol in enumerate(symbols)}, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(symbols[:4])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>")
    fast.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(symbols),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=0.3,
    )
    return SimpleNamespace(model=LlamaForCausalLM(config).eval(), tokenizer=fast)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it skip where it is not there."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no reference data beside the checkout")
    return folder


@pytest.fixture
def bench(small_model: SimpleNamespace, tmp_path: Path) -> SteeringBench:
    """A bench on the small random model."""
    from small_bench import small_bench

    return small_bench(small_model, tmp_path)


@pytest.fixture(scope="session")
def tiny():  # type: ignore[no-untyped-def]
    """The embedded model, opened by the local backend; tests skip where the package that carries it is missing."""
    from mindgap.backends.local import LocalBackend
    from mindgap.core.errors import UnavailableError
    from mindgap.core.model import ModelSpec

    try:
        return LocalBackend(max_rows=16).open(ModelSpec(name="tiny", embedded=True))
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A headless Chromium; tests that need it skip where none is installed."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium on this machine")
    with Chromium(path, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
