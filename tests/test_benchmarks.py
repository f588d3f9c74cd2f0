"""What `make bench` rests on: the work that everybody is given, the table, and the page that it is written into."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks are not here")
QUESTIONS = ["Why is the sky blue?", "What do bees make?", "Who wrote it?"]
QUERIES = [f"be of kind {number}" for number in range(14)]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch):
    """Imports a program by its name."""
    monkeypatch.syspath_prepend(BENCHMARKS / "peers")
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def peers(program) -> ModuleType:
    return program("peers")


def rendered(messages: list[tuple[str, str]]) -> str:
    return "|".join(content for _, content in messages)


def test_every_arm_asks_every_query_and_question(program) -> None:
    asked = program("make_work").requests(QUESTIONS, QUERIES, rendered)
    assert len(asked) == 4 * 14 * 3
    control, prompted, weak, strong = (asked[start : start + 42] for start in range(0, 168, 42))
    assert [r["prompt"] for r in control] == [r["prompt"] for r in weak] == [r["prompt"] for r in strong]
    assert all(query in request["prompt"] for query, request in zip(np.repeat(QUERIES, 3), prompted, strict=True))
    assert {r["vector"] for r in (*control, *prompted)} == {None}
    assert Counter(r["vector"] for r in (*weak, *strong)) == dict.fromkeys(range(28), 3)
    assert [r["vector"] + 14 for r in weak] == [r["vector"] for r in strong]


def test_options_are_scored_unsteered_and_under_every_vector(program) -> None:
    options = [(question, ["one", "two", "three", "four"]) for question in QUESTIONS]
    asked = program("make_work").option_requests(options, QUERIES)
    assert Counter(request["vector"] for request in asked) == dict.fromkeys([None, *range(14)], 3)
    assert asked[0] == {
        "prompt": "Why is the sky blue?\nAnswer:",
        "options": [" one", " two", " three", " four"],
        "vector": None,
    }


def test_vectors_are_as_long_as_the_dose_says(program) -> None:
    make_work = program("make_work")
    vectors = make_work.vectors(14, 576, 50.0)
    assert vectors.dtype == np.float32 and vectors.shape == (28, 576)
    lengths = np.linalg.norm(vectors, axis=1)
    assert lengths == pytest.approx(np.repeat([50 * dose for dose in make_work.DOSES], 14), rel=1e-5)
    assert vectors[14:] / lengths[14:, None] == pytest.approx(vectors[:14] / lengths[:14, None], abs=1e-6)


def test_batches_share_a_steering_and_replies_come_back_in_their_places(program) -> None:
    asked = program("make_work").requests(QUESTIONS, QUERIES, rendered)
    vectors = np.arange(28, dtype=np.float32)[:, None]
    work = SimpleNamespace(requests=asked, vectors=vectors, rows=16)
    sizes: list[int] = []

    def answer(vector: np.ndarray | None, prompts: list[str]) -> list[tuple[str, int]]:
        sizes.append(len(prompts))
        return [(f"{prompt} {None if vector is None else int(vector[0])}", 1) for prompt in prompts]

    shared = program("shared")
    replies = shared.one_at_a_time(work, answer)
    assert [text for text, _ in replies] == [f"{request['prompt']} {request['vector']}" for request in asked]
    assert sum(sizes) == len(asked) and max(sizes) == 16
    assert len(sizes) == 6 + 28  # 84 unsteered prompts in batches of 16, and a batch for each vector

    vectors += 1  # told apart from none, which is 0

    def answer_rows(some: np.ndarray, prompts: list[str]) -> list[tuple[str, int]]:
        return [(f"{prompt} {int(vector[0])}", 1) for vector, prompt in zip(some, prompts, strict=True)]

    mixed = shared.mixed(work, answer_rows)
    steered = [0 if request["vector"] is None else request["vector"] + 1 for request in asked]
    assert [text for text, _ in mixed] == [
        f"{request['prompt']} {vector}" for request, vector in zip(asked, steered, strict=True)
    ]


def test_a_reply_ends_before_its_stop_token_which_counts(program) -> None:
    torch = pytest.importorskip("torch")
    tokenizer = SimpleNamespace(decode=lambda ids, skip_special_tokens: " ".join(map(str, ids)))
    new = torch.tensor([[5, 6, 2, 2], [5, 6, 7, 8], [2, 2, 2, 2]])
    found = program("shared").replies(new, SimpleNamespace(stops=[2]), tokenizer)
    assert found == [("5 6", 3), ("5 6 7 8", 4), ("", 1)]


def result(seconds: float, texts: list[str]) -> dict[str, object]:
    times = {"seconds": seconds, "cpu_seconds": 2 * seconds}
    return {**times, "samples": len(texts), "tokens": 10 * len(texts), "peak_mb": 1234.4, "texts": texts}


def test_a_table_has_speeds_ratios_and_agreement_and_says_why_a_peer_is_missing(peers) -> None:
    head, ours, other, missing = peers.table(
        {
            "mindgap": result(2.0, ["a", "b", "c", "d"]),
            "slow": result(8.0, ["a", "b", "c", "x"]),
            "gone": "cannot be installed: no such package",
        }
    )
    assert head.split() == ["samples/s", "tokens/s", "CPU", "s", "peak", "MB", "ratio", "agree"]
    assert ours.split() == ["mindgap", "2.00", "20.0", "4", "1234", "1.00", "4/4"]
    assert other.split() == ["slow", "0.50", "5.0", "16", "1234", "4.00", "3/4"]
    assert missing.split(maxsplit=1) == ["gone", "cannot be installed: no such package"]
    assert len({len(line) for line in (head, ours, other)}) == 1


def test_a_table_of_options_counts_likelihoods_that_agree(peers) -> None:
    times = {"seconds": 2.0, "cpu_seconds": 2.0, "samples": 4, "peak_mb": 1.0}
    _, first, other = peers.table(
        {
            "first": times | {"scores": [[-1.0, -2.0], [-3.0, -4.0]]},
            "other": times | {"scores": [[-1.0005, -2.0], [-3.0, -4.01]]},
        }
    )
    assert first.split()[-1] == "4/4" and other.split()[-1] == "3/4"


def test_without_mindgap_the_others_have_no_ratio(peers) -> None:
    _, ours, other = peers.table({"mindgap": "fails: broken", "slow": result(8.0, ["a"])})
    assert ours.endswith("fails: broken")
    assert other.split() == ["slow", "0.12", "1.2", "16", "1234"]


def test_what_others_are_compared_with_always_runs(peers) -> None:
    assert [peer.name for peer in peers.chosen("repeng 0.4.0,transformers")][:2] == ["mindgap", "transformers"]
    assert [peer.name for peer in peers.chosen("lm-eval")] == ["mindgap options", "lm-eval 0.4.13 steered"]
    assert peers.chosen("") == list(peers.PEERS)
    with pytest.raises(SystemExit, match="--peers=reping: choose from mindgap; transformers"):
        peers.chosen("mindgap,reping")


def test_every_peer_has_its_program(peers) -> None:
    assert all((BENCHMARKS / "peers" / peer.program).is_file() for peer in peers.PEERS)


def test_a_peer_that_fails_or_cannot_be_installed_is_a_row(peers, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(peers, "PROGRAMS", tmp_path)
    good = "import pathlib, sys; pathlib.Path(sys.argv[2]).write_text(pathlib.Path(sys.argv[1]).read_text())"
    (tmp_path / "good.py").write_text(good)
    (tmp_path / "bad.py").write_text("raise RuntimeError('no such thing')")
    work = tmp_path / "work.json"
    work.write_text(json.dumps(result(3.0, ["a"])))
    (tmp_path / "file").touch()  # where a folder would have to be made
    some = [
        peers.Peer("good", "good.py"),
        peers.Peer("bad", "bad.py"),
        peers.Peer("gone", "good.py", installs=(("torch",),)),
    ]
    found = peers.compare(some, work, tmp_path / "file", 1, rounds=2)
    assert found["good"]["texts"] == ["a"]
    assert found["bad"] == "fails: RuntimeError: no such thing"
    assert found["gone"].startswith("cannot be installed: ")


GIT_FAILED = """
      fatal: unable to access 'https://example.org/': Could not resolve host: example.org
      [end of output]
  note: This error originates from a subprocess, and is likely not a problem with pip.
error: subprocess-exited-with-error

× git clone --filter=blob:none --quiet https://example.org did not run successfully.
│ exit code: 128
note: This error originates from a subprocess, and is likely not a problem with pip.
"""
NOT_FOUND = """WARNING: Location 'x' is ignored
ERROR: Could not find a version that satisfies the requirement nothing (from versions: none)
ERROR: No matching distribution found for nothing
"""
TRACEBACK = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
    raise torch.OutOfMemoryError("too large")  # an error
torch.OutOfMemoryError: too large
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (GIT_FAILED, "fatal: unable to access 'https://example.org/': Could not resolve host: example.org"),
        (NOT_FOUND, "ERROR: No matching distribution found for nothing"),
        (TRACEBACK, "torch.OutOfMemoryError: too large"),
        ("killed\n", "killed"),
        ("", ""),
    ],
)
def test_a_failure_is_told_by_the_line_that_names_it(peers, said: str, reason: str) -> None:
    assert peers.reason_of(said) == reason


def test_the_median_round_counts(peers) -> None:
    middle = peers.middle([result(9.0, ["a"]), result(1.0, ["b"]), result(2.0, ["c"])])
    assert (middle["seconds"], middle["cpu_seconds"], middle["texts"]) == (2.0, 4.0, ["a"])


PAGE = """# Speed

before
<!-- one:begin -->
```
old
```
<!-- one:end -->
after \u00e9
<!-- two:begin --><!-- two:end -->"""


def into_docs(page: Path, name: str, table: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "into_docs.py"), str(page), name, str(table)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_table_takes_the_place_between_its_markers_alone(tmp_path: Path) -> None:
    page, table = tmp_path / "page.md", tmp_path / "table.txt"
    page.write_bytes(PAGE.encode())
    table.write_text("   peer  speed\nmindgap   1.0\n")
    for _ in range(2):
        assert into_docs(page, "one", table).returncode == 0
        assert page.read_bytes().decode() == PAGE.replace("old", "   peer  speed\nmindgap   1.0")


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("no markers", "x"),
        ("<!-- one:end --> <!-- one:begin -->", "x"),
        ("<!-- one:begin -->", "x"),
        (PAGE + PAGE, "x"),
        (PAGE, "\n"),
    ],
)
def test_a_page_is_left_as_it_was_where_the_table_has_no_place(tmp_path: Path, page: str, table: str) -> None:
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    (tmp_path / "table.txt").write_text(table)
    done = into_docs(tmp_path / "page.md", "one", tmp_path / "table.txt")
    assert done.returncode == 1 and "page.md is as it was: " in done.stderr
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page


def test_the_page_has_a_place_for_both_tables(program) -> None:
    page = (BENCHMARKS.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in ("peers", "roofline"):
        assert "\n```\nthe table\n```\n" in program("into_docs").with_table(page, name, "the table")


def test_operations_are_those_that_torch_counts(program, tiny) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    def packed(inputs: Any, weight: Any, *args: Any, out_shape: Any = None, **settings: Any) -> int:
        return 2 * math.prod(inputs) * weight[0]

    engine = tiny.engine
    custom = {torch.ops.mkldnn._linear_pointwise: packed}  # a packed layer: `packed_linear.py`
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=custom) as counter:
        engine.model(input_ids=torch.ones(2, 5, dtype=torch.long), use_cache=False, logits_to_keep=1)
    counted = {str(operator): flops for operator, flops in counter.get_flop_counts()["Global"].items()}
    products = sum(flops for operator, flops in counted.items() if "mm" in operator or "linear" in operator)
    ours = program("roofline").operations(engine.config, rows=2, tokens=5, before=0, headed=2)
    rotation = products - ours["linear"] - ours["head"]
    assert 0 <= rotation < 1e-4 * products  # angles of the positions are a product as well


def test_a_token_attends_to_those_before_it_and_itself(program, tiny) -> None:
    operations, config = program("roofline").operations, tiny.engine.config
    one = operations(config, rows=1, tokens=1, before=0, headed=0)["attention"]
    assert one == 2 * 2 * 30 * 9 * 64
    assert operations(config, rows=3, tokens=1, before=7, headed=0)["attention"] == 3 * 8 * one
    assert operations(config, rows=1, tokens=4, before=0, headed=0)["attention"] == (1 + 2 + 3 + 4) * one


def test_a_pass_reads_every_weight_once_and_what_the_cache_holds(program, tiny) -> None:
    roofline, engine = program("roofline"), tiny.engine
    matrices = sum(layer.weight.nbytes for layer in engine.model.modules() if hasattr(layer, "out_features"))
    assert roofline.bytes_read(engine.config, 0, 0, 4) == matrices
    assert roofline.bytes_read(engine.config, 2, 10, 4) == matrices + 2 * 10 * 2 * 30 * 3 * 64 * 4


def test_time_is_told_apart_by_what_operators_do(program) -> None:
    group_of = program("roofline").group_of
    assert group_of("aten::addmm") == group_of("mkldnn::_linear_pointwise") == "linear layers"
    assert group_of("aten::_scaled_dot_product_flash_attention_for_cpu") == "attention"
    assert group_of("aten::rsqrt") == "norms, rotation, activations, steering"
    assert group_of("aten::index_put_") == "copies: cache, heads, rotated halves"
    assert group_of("aten::argmax") == "other operators"
