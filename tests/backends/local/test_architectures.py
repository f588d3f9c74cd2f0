"""Of every kind of architecture: a batch of rows under different steering is what plain passes of each row are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from tiny_models import BUILDERS, WINDOW, gemma3, tiny_model  # noqa: E402

from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.residuals import response_residuals  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.backends.local.trial import try_out  # noqa: E402
from mindgap.core.compose import composed, config_folder  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.records import Decoding, Message, OptionsRequest, Request  # noqa: E402
from mindgap.study.experiment import build_experiment  # noqa: E402

WAYS = {"lfm2": "own cache", "qwen3_next": "own cache", "bloom": "own cache"}
"""How rows are read where they cannot share passes; the others can."""
TEXTS = ["why?", "tell me", "what is it that rains on us", "go on", "because of it all, and of more of it"]
OPTIONS = ("yes", "no, or so it was said")
NEW_TOKENS = 6


@pytest.fixture(scope="module", params=list(BUILDERS))
def engine(request: pytest.FixtureRequest, small_model: SimpleNamespace) -> Engine:
    """A model of each architecture, opened and tried as a user's is."""
    engine = Engine(tiny_model(request.param, len(small_model.tokenizer)), small_model.tokenizer, max_rows=3)
    verdict = try_out(engine)
    assert verdict["way"] == WAYS.get(request.param, "slots"), verdict["why"]
    engine.way = verdict["way"]  # type: ignore[assignment]
    engine.stops = frozenset()
    return engine


def steerings(engine: Engine) -> list[tuple[AddVector, ...]]:
    """None, strong and weak, at every position and where the reply is predicted, at one block and at two."""
    rng, (first, middle, last) = np.random.default_rng(0), (0, engine.layers // 2, engine.layers - 1)
    unit = [rng.standard_normal(engine.d_model) for _ in range(5)]
    return [
        (),
        (AddVector(middle, unit[0]),),
        (AddVector(middle, unit[1] * 0.2, "response"),),
        (AddVector(first, unit[2] * 0.3), AddVector(last, unit[3], "response")),
        (AddVector(middle, unit[4] * 2),),
    ]


def plain(engine: Engine, tokens: list[int], edits: Sequence[Any], start: int, read: int | None = None) -> Any:
    """Logits of one row, or the output of block `read`, by transformers alone, steered by hooks."""
    kept: list[Any] = []

    def hook(edit: AddVector) -> Any:
        def add(module: object, inputs: object, output: Any) -> Any:
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            hidden[:, start if edit.positions == "response" else 0 :] += torch.tensor(edit.vector)
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        return add

    def keep(module: object, inputs: object, output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)

    handles = [engine.blocks[edit.layer].register_forward_hook(hook(edit)) for edit in edits]
    if read is not None:
        handles.append(engine.blocks[read].register_forward_hook(keep))
    try:
        with torch.inference_mode():
            logits = engine.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    return logits if read is None else kept[0][0]


def prompt_of(engine: Engine, text: str) -> list[int]:
    return engine.chat.prompt((Message("user", text),))


def test_replies_are_those_of_plain_passes(engine: Engine) -> None:
    requests = [
        Request("x", (Message("user", text),), Decoding(NEW_TOKENS, 0.0), 0, edits)
        for text, edits in zip(TEXTS, steerings(engine), strict=True)
    ]
    for index, completion in generate(engine, requests):
        prompt, reply = prompt_of(engine, TEXTS[index]), list[int]()
        for _ in range(NEW_TOKENS):
            logits = plain(engine, [*prompt, *reply], requests[index].edits, len(prompt) - 1)[-1]
            reply.append(int(logits.argmax()))
        assert completion.error is None and list(completion.tokens) == reply


def test_options_are_scored_as_by_plain_passes(engine: Engine) -> None:
    requests = [
        OptionsRequest("x", (Message("user", text),), OPTIONS, edits)
        for text, edits in zip(TEXTS, steerings(engine), strict=True)
    ]
    for index, scores in loglikelihood(engine, requests):
        prompt = prompt_of(engine, TEXTS[index])
        for option, total in zip(OPTIONS, scores.logprobs, strict=True):
            tokens = engine.chat.encode(option)
            logits = plain(engine, [*prompt, *tokens], requests[index].edits, len(prompt) - 1)[len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None]).sum()
            assert total == pytest.approx(float(expected), rel=1e-4, abs=1e-3)


def test_residuals_are_those_of_plain_passes(engine: Engine) -> None:
    texts = [((Message("user", text),), OPTIONS[index % 2]) for index, text in enumerate(TEXTS)]
    for index, residual in response_residuals(engine, texts, 2):
        prompt = prompt_of(engine, TEXTS[index])
        tokens = [*prompt, *engine.chat.encode(texts[index][1])]
        expected = plain(engine, tokens, (), 0, read=2)[len(prompt) :].numpy()
        np.testing.assert_allclose(residual, expected, atol=1e-3, rtol=1e-3)


def test_prompts_are_longer_than_the_windows(engine: Engine) -> None:
    lengths = [len(prompt_of(engine, text)) for text in TEXTS]
    assert min(lengths) < WINDOW + 2 < max(lengths)


def test_the_text_model_is_steered_and_not_a_vision_tower_as_deep(small_model: SimpleNamespace) -> None:
    model = tiny_model("llava", len(small_model.tokenizer))
    engine = Engine(model, small_model.tokenizer, max_rows=2)
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    assert [len(blocks) for blocks in lists] == [engine.layers, engine.layers]  # the tower's, and the text's
    assert "CLIP" in type(lists[0][0]).__name__ and "Llama" in type(engine.blocks[0]).__name__


def test_every_item_of_mmlu_is_answered_beyond_the_window(small_model: SimpleNamespace, tmp_path: Path) -> None:
    """`task=mmlu` at its defaults on a model of Gemma 3's shape with its window of 512 tokens."""
    subjects = ("law", "physics")
    rows = [
        {"question": f"{'Why is that so, in your opinion? ' * 12}{n}", "subject": subject, "choices": list("wxyz")}
        | {"answer": n % 4}
        for subject in subjects
        for n in range(2)
    ]
    folder = mmlu_folder(tmp_path / "mmlu", rows)
    model = gemma3(len(small_model.tokenizer), window=512, longest=4096)
    engine = Engine(model.float().eval(), small_model.tokenizer, max_rows=4)
    node = composed(["task=mmlu", f"task.path={folder}", "sweep=x", "judge=proxy"], config_folder())
    experiment = build_experiment(node)
    items = experiment.task.load()
    requests = [Request("x", experiment.task.messages(item), experiment.decoding, n) for n, item in enumerate(items)]
    lengths = [len(engine.chat.prompt(request.messages)) for request in requests]
    assert len(items) == 4 and min(lengths) > 512 and experiment.decoding.max_tokens == 512
    assert [completion.error for _, completion in generate(engine, requests)] == [None] * 4
    scored = [OptionsRequest("x", request.messages, tuple("ABCD")) for request in requests]
    assert [scores.error for _, scores in loglikelihood(engine, scored)] == [None] * 4


def mmlu_folder(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A folder in the layout of `cais/mmlu`."""
    (folder / "all").mkdir(parents=True)
    splits = "\n".join(f"  - {{split: {split}, path: all/{split}-*.parquet}}" for split in ("dev", "test"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: all\n  data_files:\n{splits}\n---\n")
    for split in ("dev", "test"):
        pq.write_table(pa.Table.from_pylist(rows), folder / "all" / f"{split}-00000-of-00001.parquet")
    return folder
