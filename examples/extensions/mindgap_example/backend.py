"""A backend: a model that says back what it was told. It can generate, and nothing inside it can be steered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mindgap.backends.base import Capability, Endpoint
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, OptionScores, OptionsRequest, Request

CAN: frozenset[Capability] = frozenset({"generate"})


@dataclass(frozen=True)
class EchoEndpoint:
    """One model, ready to answer."""

    model: str

    @property
    def identity(self) -> str:
        """Part of every content key: raise the version when replies change."""
        return f"echo/1/{self.model}"

    @property
    def can(self) -> frozenset[Capability]:
        """What it can."""
        return CAN

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """The system prompt, then the question, then 12."""
        for index, request in enumerate(requests):
            said = " ".join(message.content for message in request.messages)
            words = f"{said} So it is 12!".split()
            yield index, Completion(" ".join(words[: request.decoding.max_tokens]), "stop", len(words), len(words))

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        """Nothing: `can` does not promise it."""
        for index, _ in enumerate(requests):
            yield index, OptionScores((), (), "an echo has no likelihoods")


@dataclass(frozen=True)
class EchoBackend:
    """Opens echoes."""

    name: str = "echo"

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """What of `needs` an echo cannot give."""
        return [f"{need}, which an echo does not have" for need in sorted(needs - CAN)]

    def open(self, model: ModelSpec) -> Endpoint:
        """The endpoint of a model."""
        return EchoEndpoint(model.name)
