"""Auto Steer on the embedded model and its SAE: what is chosen for words that a person would use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from mindgap.backends.local import CAN, LocalEndpoint
from mindgap.core.edits import Declined
from mindgap.core.model import ModelSpec
from mindgap.sae.form import is_form
from mindgap.sae.releases import load_sae
from mindgap.steering.autosteer import AutoSteer, Choice
from mindgap.steering.bench import SteeringBench
from mindgap.steering.specific import bank
from mindgap.storage.store import Store

QUERIES = ("make jokes", "be funny", "talk about cooking", "be blorptious", "speak wumplish")


@pytest.fixture(scope="module")
def bench(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> SteeringBench:
    from mindgap.backends.local.engine import Engine

    sae = load_sae("mindgap:tiny")
    engine = Engine(tiny.engine.model, tiny.engine.tokenizer, max_rows=16, open_sae=lambda: sae)
    model = ModelSpec(name="tiny", embedded=True, sae="mindgap:tiny")
    endpoint = LocalEndpoint(engine, tiny.identity, CAN | {"features"}, model)
    return SteeringBench(endpoint, Store(tmp_path_factory.mktemp("tiny") / "store.sqlite"), 0)


@pytest.fixture(scope="module")
def choices(bench: SteeringBench) -> dict[str, Choice | Declined]:
    return dict(zip(QUERIES, AutoSteer(passages=4).choices(QUERIES, bench), strict=True))


def test_the_bank_of_the_embedded_model_travels_with_the_package(bench: SteeringBench) -> None:
    layer = bench.features.sae_layer
    silent = SteeringBench(None, bench.store, 0)  # type: ignore[arg-type]  # whoever asks the model here gets an error
    object.__setattr__(silent, "endpoint", type("Named", (), {"identity": bench.endpoint.identity})())
    assert np.linalg.norm(bank(layer, silent).residual) > 0


@pytest.mark.parametrize(("query", "word"), [("be blorptious", "blorptious"), ("speak wumplish", "wumplish")])
def test_nonsense_is_declined_by_its_word(query: str, word: str, choices: dict[str, Choice | Declined]) -> None:
    declined = choices[query]
    assert isinstance(declined, Declined) and f"does not know the word '{word}'" in declined.reason


def test_no_feature_of_mere_form_is_chosen(choices: dict[str, Choice | Declined]) -> None:
    edits = [edit for choice in choices.values() if isinstance(choice, Choice) for edit in choice.edits]
    assert len(edits) > 10
    assert not [edit.label for edit in edits if is_form(edit.label)]


def test_paraphrases_go_more_one_way_than_other_queries_do(choices: dict[str, Choice | Declined]) -> None:
    jokes, funny, cooking = (choices[query] for query in QUERIES[:3])
    added = []
    for choice in (jokes, funny, cooking):
        assert isinstance(choice, Choice)
        total = np.sum([edit.added for edit in choice.edits], axis=0)
        added.append(total / np.linalg.norm(total))
    assert added[0] @ added[1] > 0.3
    assert max(added[0] @ added[2], added[1] @ added[2]) < added[0] @ added[1]


def test_what_is_chosen_means_what_the_query_says(choices: dict[str, Choice | Declined]) -> None:
    for query, word in (("make jokes", "joke"), ("be funny", "funny")):
        choice = choices[query]
        assert isinstance(choice, Choice)
        assert any(word in edit.label and edit.offset > 0 for edit in choice.edits)
