"""`python -m mindgap.vectors`: written, explained, used again, searched for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.fetch import option_scores  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.records import OptionsRequest, Query  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.steering.contrast_source import Contrast  # noqa: E402
from mindgap.steering.damage import NEAR  # noqa: E402
from mindgap.steering.directed import Directed  # noqa: E402
from mindgap.steering.search import at_layer, held_out, search  # noqa: E402
from mindgap.steering.spread import Spread  # noqa: E402
from mindgap.steering.strength import Dose  # noqa: E402
from mindgap.steering.vector_formats import read_vectors  # noqa: E402
from mindgap.steering.vectors import DifferenceInMeans, reference_norm  # noqa: E402
from mindgap.vectors.__main__ import main  # noqa: E402

GLAD = Query("be glad", "")


@pytest.fixture
def opened(bench: SteeringBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small random model in the place of whatever model is named."""

    @contextmanager
    def here(*arguments: Any) -> Iterator[SteeringBench]:
        yield replace(bench, seed=arguments[-1])

    for where in ("export.opened", "search.opened", "bench.opened_model"):
        monkeypatch.setattr(f"mindgap.vectors.{where}", here)


PAIRS = [{"prompt": f"Say {n}", "positive": f"yes, {n}", "negative": f"no {n}"} for n in range(8)]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, PAIRS)))
    return path


def test_a_method_is_exported_with_a_receipt_and_shown(
    opened: None, bench: SteeringBench, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "glad.gguf"
    source = "method.interventions.0.source"
    said = [f"{source}.pairs={pairs}", f"{source}.layers=[1,2]", "strength=dose", "strength.dose=0.25"]
    assert main(["export", str(file), "method=caa", "query=be glad", *said]) == 0
    receipt = read_vectors(file).receipt
    assert receipt["query"] == "be glad" and receipt["model"] == "local/small" and receipt["seed"] == 0
    assert receipt["data"] == {str(pairs): hashlib.sha256(pairs.read_bytes()).hexdigest()}
    (edits,) = Directed(Contrast(pairs=str(pairs), layers=(1, 2))).edits([GLAD], bench)
    assert isinstance(edits, tuple)
    dosed = Dose(0.25).apply(edits, lambda layer: reference_norm(bench, layer))
    for edit, entry in zip(dosed, receipt["layers"], strict=True):
        vector = read_vectors(file).by_layer[edit.layer]
        np.testing.assert_allclose(vector, edit.added, rtol=1e-6)
        assert entry["sha256"] == hashlib.sha256(vector.tobytes()).hexdigest()
        assert entry["norm"] == pytest.approx(float(np.linalg.norm(vector)))
    capsys.readouterr()
    assert main(["show", str(file), "model=tiny"]) == 0
    out = capsys.readouterr().out
    assert "GGUF control vector" in out and "Sign:" in out and "0.25" in out and '"be glad"' in out
    assert main(["show", str(file)]) == 0
    assert "give model=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exprot", "a.pt"], "Did you mean export?"),
        (["export", "a.csv", "query=be glad"], "choose one of the endings"),
        (["export", "a.pt"], "query is missing"),
        (["export", "query=be glad"], "export needs one file"),
        (["export", "a.pt", "query=be glad", "method=control"], "steers nothing"),
        (["export", "a.pt", "query=be glad", "method=ablation"], "does more than add vectors"),
        (["show", "none.gguf"], "no such file"),
        (["search", "query=be glad", "layers=9"], "blocks 0 to 3"),
        (["search", "query=be glad", "layers=x"], "depths such as"),
        (["search", "query=be glad", "damage=0"], "above 0"),
        (["search", "query=be glad", "method=random_features"], "could be searched"),
        (["search", "be glad"], "query='be glad'"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], said: str, opened: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_search_ends_in_a_setting(opened: None, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["method=caa", "query=be glad", "layers=1,2", f"method.interventions.0.source.pairs={pairs}"]
    assert main(["search", *words]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("method=caa 'method.interventions.0.source.layers=[") and "strength.dose=" in last


def test_the_best_setting_gains_most_on_pairs_it_was_not_made_of(bench: SteeringBench, pairs: Path) -> None:
    method = Directed(Contrast(pairs=str(pairs), layers=(1,)))
    contrasted = held_out(method, GLAD, bench)
    assert [yes for _, yes, _ in contrasted] == ["yes, 6", "yes, 7"]
    tried = search(method, GLAD, [1, 3], 0.3, bench)
    best = tried[-1]
    within = [one for one in tried if one.damage <= 0.3 * NEAR]
    assert best in within and best.gain == max(one.gain for one in within)
    # by the definition: made of the first six pairs alone, at that dose, on the last two
    (few,) = Directed(Contrast(pairs=str(pairs), layers=(best.layer,), held_out=0.25)).edits([GLAD], bench)
    short = pairs.with_name("six.jsonl")
    short.write_text("\n".join(map(json.dumps, PAIRS[:6])))
    (six,) = Directed(Contrast(pairs=str(short), layers=(best.layer,))).edits([GLAD], bench)
    assert [edit.key for edit in few] == [edit.key for edit in six]  # type: ignore[union-attr]
    edits = Dose(best.dose).apply(six, lambda layer: reference_norm(bench, layer))  # type: ignore[arg-type]
    differences = []
    for row in ((), edits):
        for messages, yes, no in contrasted:
            request = OptionsRequest("local/small", messages, (yes, no), row)
            a, b = option_scores([request], bench.endpoint, bench.store)[request.key].per_token()
            differences.append(a - b)
    assert best.gain == pytest.approx(np.mean(differences[2:]) - np.mean(differences[:2]), abs=1e-3)


def test_depths_can_be_searched_too_and_what_has_neither_cannot(bench: SteeringBench) -> None:
    moved = at_layer(DifferenceInMeans(prompts=4), 2, 4)
    assert isinstance(moved, DifferenceInMeans) and moved.depth == 0.75
    with pytest.raises(ConfigError, match="prompts lower"):
        held_out(DifferenceInMeans(prompts=24), GLAD, bench)
    with pytest.raises(ConfigError, match="could be searched"):
        at_layer(SimpleNamespace(source=None), 1, 4)  # type: ignore[arg-type]
    spread = at_layer(Directed(Spread(Contrast(layers=(1,))), "ablate"), 2, 4)
    assert spread == Directed(Spread(Contrast(layers=(2,))), "ablate")
