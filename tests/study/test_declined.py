"""A query that a method declines is an error of its samples, with the reason; the other queries are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from mindgap.backends.fetch import completions, option_scores
from mindgap.core.edits import AddVector, Declined
from mindgap.core.records import Decoding, Message, OptionsRequest, Query, Request
from mindgap.steering.bench import SteeringBench
from mindgap.steering.methods import Method
from mindgap.storage.store import Store

pytest.importorskip("torch")


@dataclass(frozen=True)
class OnlyFunny:
    """Steers towards "be funny", and declines everything else."""

    needs: ClassVar[frozenset] = frozenset({"generate", "residual"})

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[AddVector, ...] | Declined]:
        vector = AddVector(1, np.ones(32, dtype=np.float32))
        return [(vector,) if query.text == "be funny" else Declined("nobody is that") for query in queries]


@pytest.fixture
def endpoint(small_model: SimpleNamespace) -> Any:
    from mindgap.backends.local import LocalEndpoint
    from mindgap.backends.local.engine import Engine

    return LocalEndpoint(Engine(small_model.model, small_model.tokenizer, max_rows=8), "local/small")


def test_a_method_declines_a_query_for_all_its_interventions(endpoint: Any, tmp_path: Path) -> None:
    bench = SteeringBench(endpoint, Store(tmp_path / "store.sqlite"), 0)
    method = Method("m", "M", interventions=(OnlyFunny(), OnlyFunny()))
    funny, nothing = method.edits([Query("be funny", ""), Query("be blorptious", "")], bench)
    assert not isinstance(funny, Declined) and len(funny) == 2
    assert nothing == Declined("nobody is that")


def test_a_declined_request_gets_its_reason_and_the_others_a_reply(endpoint: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    asked = Request(endpoint.identity, (Message("user", "Why?"),), Decoding(4, 0), 0)
    declined = replace(asked, declined="nobody is that")
    replies = completions([declined, asked], endpoint, store)
    assert replies[declined.key].error == "nobody is that" and not replies[declined.key].text
    assert replies[asked.key].error is None
    question = OptionsRequest(endpoint.identity, asked.messages, ("So.", "No."))
    refused = replace(question, declined="nobody is that")
    scores = option_scores([refused, question], endpoint, store)
    assert scores[refused.key].error == "nobody is that" and len(scores[question.key].logprobs) == 2
