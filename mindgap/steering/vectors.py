"""Activation vectors: difference in means, and a random direction as its null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability
from mindgap.core.edits import AddVector, Positions
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Message, Query
from mindgap.steering.bench import SteeringBench, Text

CONTRAST_TOKENS = 48
"""Length of the contrast responses, in tokens."""


def contrast_prompts(count: int) -> tuple[str, ...]:
    """The first `count` of mindgap's contrast prompts: open-ended, and used by no task."""
    return tuple(files("mindgap.data").joinpath("contrast.txt").read_text(encoding="utf-8").splitlines()[:count])


def neutral_texts(bench: SteeringBench, count: int) -> list[Text]:
    """Unsteered responses to the contrast prompts, under no instruction: what a dose is measured against."""
    prompts = [(Message("user", prompt),) for prompt in contrast_prompts(count)]
    return _answered(prompts, prompts, bench)


def _answered(
    prompts: Sequence[tuple[Message, ...]], contexts: Sequence[tuple[Message, ...]], bench: SteeringBench
) -> list[Text]:
    """Responses given to `prompts`, as texts that follow `contexts`; empty responses are left out."""
    replies = bench.respond(prompts, CONTRAST_TOKENS)
    return [(context, reply.text) for context, reply in zip(contexts, replies, strict=True) if reply.text.strip()]


def block_at(depth: float, layers: int) -> int:
    """Index of the block at relative `depth` in (0, 1]: 0.4 of 30 blocks is the 12th, whose index is 11."""
    return max(0, round(depth * layers) - 1)


@dataclass(frozen=True)
class DifferenceInMeans:
    """Mean residual stream of responses given under the query, minus that of neutral responses.

    Marks and Tegmark (2023, arXiv 2310.06824) for the estimator; contrast by system prompt as in Chen et al. (2025,
    arXiv 2507.21509).

    Attributes:
        depth: Relative depth of the block whose output is read and steered.
        prompts: Number of contrast prompts.
        positions: `all` or `response` (see `AddVector`).
        instruction: Asks for the behaviour while contrast responses are written.
    """

    depth: float = 0.4
    prompts: int = 16
    positions: str = "all"
    instruction: str = "You must {query}. Every sentence of your reply has to show it."
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "residual"})

    def __post_init__(self) -> None:
        check_site(self.depth, self.positions)
        check_prompts(self.prompts)
        if "{query}" not in self.instruction:
            raise ConfigError("method.interventions: instruction must contain {query}")

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[AddVector, ...]]:
        """One vector a query. Raises ValueError where the model answers no contrast prompt."""
        layer = block_at(self.depth, bench.layers)
        questions = contrast_prompts(self.prompts)
        neutral = bench.residuals(neutral_texts(bench, self.prompts), layer)
        prompts = [
            (Message("system", self.instruction.replace("{query}", query.text)), Message("user", question))
            for query in queries
            for question in questions
        ]
        replies = bench.respond(prompts, CONTRAST_TOKENS)
        edits: list[tuple[AddVector, ...]] = []
        for number, query in enumerate(queries):
            span = slice(number * len(questions), (number + 1) * len(questions))
            texts = [(p, r.text) for p, r in zip(prompts[span], replies[span], strict=True) if r.text.strip()]
            if not texts or not len(neutral):
                raise ValueError(f"the model gave no response to any contrast prompt for {query.text!r}: no vector")
            vector = bench.residuals(texts, layer).mean(0) - neutral.mean(0)
            edits.append(
                (AddVector(layer, vector, _positions(self.positions), label=f"{query.text} (mean difference)"),)
            )
        return edits


@dataclass(frozen=True)
class RandomDirection:
    """A random direction per query, isotropic, as long as the residual stream's median norm times `norm`.

    The null control of every vector method: run it at the same dose.
    """

    depth: float = 0.4
    norm: float = 0.2
    positions: str = "all"
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "residual"})

    def __post_init__(self) -> None:
        check_site(self.depth, self.positions)
        if self.norm <= 0:
            raise ConfigError(f"method.interventions: norm={self.norm}, must be above 0")

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[AddVector, ...]]:
        """One direction a query, fixed by the seed and the query's text alone."""
        layer = block_at(self.depth, bench.layers)
        length = self.norm * reference_norm(bench, layer)
        edits: list[tuple[AddVector, ...]] = []
        for query in queries:
            digest = content_key("random direction", seed=bench.seed, query=query.text, layer=layer)
            direction = np.random.default_rng(int(digest, 16) % 2**64).standard_normal(bench.d_model)
            vector = direction * (length / np.linalg.norm(direction))
            edits.append((AddVector(layer, vector, _positions(self.positions), label=f"{query.text} (random)"),))
        return edits


REFERENCE_PROMPTS = 16
"""How many contrast prompts the median residual norm is taken over."""


def reference_norm(bench: SteeringBench, layer: int) -> float:
    """Median norm of the residual stream at block `layer` over neutral responses: the denominator of relative dose."""
    return bench.residual_norm(neutral_texts(bench, REFERENCE_PROMPTS), layer)


def _positions(name: str) -> Positions:
    return "response" if name == "response" else "all"


def check_prompts(count: int) -> None:
    """Raises ConfigError for a number of contrast prompts that there are not, or too few to contrast."""
    available = len(contrast_prompts(10**6))
    if not 2 <= count <= available:
        raise ConfigError(f"method.interventions: prompts={count}, must be between 2 and {available}")


def check_site(depth: float, positions: str) -> None:
    """Raises ConfigError for a depth that is no place in a model, and for positions that there are not."""
    if not 0 < depth <= 1:
        raise ConfigError(f"method.interventions: depth={depth}, must be above 0 and at most 1 (1 is the last block)")
    if positions not in ("all", "response"):
        raise ConfigError(f"method.interventions: positions={positions!r}, choose all or response")
