"""The work of a comparison, written as JSON and `vectors.npy` beside it: what is asked, and what steers.

Run by `benchmarks/peers.py`, with mindgap's Python, as `python make_work.py WORK '{"items": 6, …}'`. Vectors are random
directions, one a query, so that nothing of any tool's own way of finding one takes part.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DOSES = (0.1, 0.2)
"""Lengths of the vectors, in units of the residual stream's median norm."""

SYSTEM = "Answer the question in two or three sentences."


def requests(
    questions: Sequence[str], queries: Sequence[str], render: Callable[[list[tuple[str, str]]], str]
) -> list[dict[str, Any]]:
    """A request for every method, query and question: control, prompt, and the query's vector at each dose.

    Args:
        questions: What is asked.
        queries: Behaviours, worded so that "please …" can stand before them.
        render: The text of a prompt, from its messages as pairs of role and content.
    """
    arms: list[tuple[bool, int | None]] = [(False, None), (True, None), *((False, dose) for dose in range(len(DOSES)))]
    found = []
    for prompted, dose in arms:
        for number, query in enumerate(queries):
            system = f"{SYSTEM}\n\nWhen answering, please {query}." if prompted else SYSTEM
            vector = None if dose is None else dose * len(queries) + number
            for question in questions:
                messages = [("system", system), ("user", question)]
                found.append({"prompt": render(messages), "messages": messages, "vector": vector})
    return found


def option_requests(questions: Sequence[tuple[str, Sequence[str]]], queries: Sequence[str]) -> list[dict[str, Any]]:
    """The options of every question, unsteered and under every query's vector at the first dose."""
    return [
        {"prompt": f"{question}\nAnswer:", "options": [f" {option}" for option in options], "vector": vector}
        for vector in (None, *range(len(queries)))
        for question, options in questions
    ]


def vectors(count: int, d_model: int, norm: float) -> np.ndarray:
    """`[doses × count, d_model]`: random directions, all at the first dose, then all at the next."""
    directions = np.random.default_rng(0).standard_normal((count, d_model))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([dose * norm * directions for dose in DOSES]).astype(np.float32)


def main() -> None:
    import yaml

    from mindgap.backends.local import LocalBackend
    from mindgap.backends.local.embedded import embedded_model
    from mindgap.core.model import ModelSpec
    from mindgap.core.records import Message
    from mindgap.steering.vectors import block_at, contrast_prompts
    from mindgap.tasks.questions import ChoiceQuestions

    path, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    conf = Path(__file__).parents[2] / "conf" / "query_set" / "paper.yaml"
    queries = yaml.safe_load(conf.read_text(encoding="utf-8"))["queries"]
    items = ChoiceQuestions("starter", SYSTEM, settings["max_tokens"], limit=settings.pop("items")).load()

    endpoint = LocalBackend().open(ModelSpec(name="tiny", embedded=True))
    layer = block_at(0.4, endpoint.layers)
    texts = [((Message("user", prompt),), "This is an answer of a few words.") for prompt in contrast_prompts(4)]
    norm = float(np.median(endpoint.residual_norms(texts, layer)))

    def render(messages: list[tuple[str, str]]) -> str:
        return endpoint.render([Message(role, content) for role, content in messages])  # type: ignore[arg-type]

    work = settings | {
        "model": str(embedded_model().path),
        "layer": layer,
        "stops": sorted(endpoint.engine.stops),
        "requests": requests([item.question for item in items], queries, render),
        "options": option_requests([(item.question, item.options) for item in items], queries),
    }
    path.write_text(json.dumps(work), encoding="utf-8")
    np.save(path.with_name("vectors.npy"), vectors(len(queries), endpoint.d_model, norm))


if __name__ == "__main__":
    main()
