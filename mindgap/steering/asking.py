"""Ways to ask for a behaviour in words that take some making: shown by examples, rewritten and chosen, or a null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import ClassVar, Protocol

import numpy as np

from mindgap.backends.base import Capability
from mindgap.backends.fetch import option_scores
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, OptionsRequest, Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.passages import hosted_writer
from mindgap.steering.stimulus import replies_apart, replies_of, stimulus

WHERE = "method.asking"
INSTRUCTION_TOKENS = 64
"""Longest instruction that is proposed, in tokens."""
PROPOSALS = (
    "Write one instruction for an assistant that makes it {query} in every reply. Answer with the instruction alone.",
    "An assistant is to {query}, whatever it is asked. Tell it how, in one sentence that begins with 'You are'.",
    "Give an assistant three concrete rules by which every reply of it will {query}. Answer with the rules alone.",
    "Someone does nothing but {query}. Say how they talk, in one sentence that begins with 'Reply as someone who'.",
    "What must an assistant do in its very first words, and in its last, to {query}? Answer with a command to it.",
    "Rewrite this command so that nobody could miss it, in at most twenty words: please {query}.",
    "Write a system prompt of two sentences for an assistant that must {query}. Answer with the prompt alone.",
    "Name five words that a reply would hold if it were to {query}, and command an assistant to use such words.",
)
"""What whoever proposes instructions is asked, one after another; our own words."""
NEUTRAL = (
    "Below you find a message, as it was sent. It may be of any kind and any length. Read it to its end, "
    "and then reply to it. There is no time limit. The message is in the usual place, and the reply goes where replies "
    "go. Nothing else has to be done with it."
)
"""An instruction that asks for nothing beyond a reply."""


@dataclass(frozen=True)
class Asked:
    """How one behaviour is asked for.

    Attributes:
        instruction: A text for the system prompt or the user's message; None = none.
        examples: User and assistant messages in turn, put before the conversation.
    """

    instruction: str | None = None
    examples: tuple[Message, ...] = ()


class Asking(Protocol):
    """Makes the words by which a behaviour is asked for: settings and one verb. Deterministic for a seed."""

    @property
    def needs(self) -> frozenset[Capability]: ...

    def asked(self, queries: Sequence[Query], bench: SteeringBench) -> Sequence[Asked | Declined]:
        """The words for each query, or why there are none, in the order of `queries`."""


@dataclass(frozen=True)
class Demonstrations:
    """`_target_: mindgap.steering.asking.Demonstrations`. Replies that show the behaviour, as earlier turns.

    In-context demonstrations (Brown et al. 2020, arXiv 2005.14165): nothing says in words what is wanted.

    Attributes:
        shots: How many.
        pairs: File of replies beside a prompt (see `mindgap.steering.pairs.read_pairs`), whose positive ones are shown;
            None = the model's own replies to contrast prompts under an instruction to behave so.
        opposite: Show the replies that do not behave so: the null of equal form.
        writer: litellm's name of a model that writes the replies; None = the model itself.
        provider: How the writer is reached.
    """

    shots: int = 4
    pairs: str | None = None
    opposite: bool = False
    writer: str | None = None
    provider: LiteLLMBackend = field(default_factory=LiteLLMBackend)
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate"})

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise ConfigError(f"{WHERE}.shots must be at least 1, not {self.shots}")

    def asked(self, queries: Sequence[Query], bench: SteeringBench) -> list[Asked | Declined]:
        """See `Asking.asked`. Raises ConfigError for a file without enough replies."""
        return [Asked(examples=self._turns(query, bench)) for query in queries]

    def _turns(self, query: Query, bench: SteeringBench) -> tuple[Message, ...]:
        if self.pairs is not None:
            shown = replies_of(self.pairs, query, bench, self.shots)[self.opposite]
            if len(shown) < self.shots:
                raise ConfigError(f"{WHERE}: pairs={self.pairs} has {len(shown)} replies: set shots lower")
        else:
            writer = _writer(bench, self.writer, self.provider)
            made = stimulus(bench, query.text, prompts=self.shots, writer=writer)
            shown = list(made.neutral if self.opposite else made.behaving)
        return tuple(
            message
            for messages, reply in shown[: self.shots]
            for message in (Message("user", messages[-1].content), Message("assistant", reply))
        )


@dataclass(frozen=True)
class Rewritten:
    """`_target_: mindgap.steering.asking.Rewritten`. The best of several instructions, chosen on replies held out.

    After automatic prompt engineering (Zhou et al. 2023, arXiv 2211.01910): proposed by a model, scored by how much
    more likely an instruction makes replies that show the behaviour than replies that do not, per token.

    Attributes:
        instruction: The plain one, with `{query}`; it is always among those that are tried.
        proposals: How many more are proposed.
        writer: litellm's name of a model that proposes; None = the model itself.
        provider: How the writer is reached.
    """

    instruction: str = "When answering, please {query}."
    proposals: int = 8
    writer: str | None = None
    provider: LiteLLMBackend = field(default_factory=LiteLLMBackend)
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "loglikelihood"})

    def __post_init__(self) -> None:
        _check_instruction(self.instruction)
        if not 1 <= self.proposals <= len(PROPOSALS):
            raise ConfigError(f"{WHERE}.proposals must be 1 to {len(PROPOSALS)}, not {self.proposals}")

    def asked(self, queries: Sequence[Query], bench: SteeringBench) -> list[Asked | Declined]:
        """See `Asking.asked`."""
        made: list[Asked | Declined] = []
        for query in queries:
            tried = self.tried(query, bench)
            made.append(Asked(max(tried, key=tried.__getitem__)))
        return made

    def tried(self, query: Query, bench: SteeringBench) -> dict[str, float]:
        """Every instruction that was tried, the plain one first, with its score in nats per token."""
        writer = _writer(bench, self.writer, self.provider)
        questions = [text.replace("{query}", query.text) for text in PROPOSALS[: self.proposals]]
        replies = writer.respond([(Message("user", question),) for question in questions], INSTRUCTION_TOKENS)
        plain = self.instruction.replace("{query}", query.text)
        candidates = dict.fromkeys([plain, *(text for reply in replies if (text := reply.text.strip()))])
        pairs = replies_apart(query, bench)
        requests = {
            text: [
                OptionsRequest(bench.endpoint.identity, (Message("system", text), *messages), (yes, no))
                for messages, yes, no in pairs
            ]
            for text in candidates
        }
        asked = [request for of_text in requests.values() for request in of_text]
        scores = option_scores(asked, bench.endpoint, bench.store)
        tried = {}
        for text, of_text in requests.items():
            likely = [scores[request.key].per_token() for request in of_text if scores[request.key].error is None]
            tried[text] = float(np.mean([yes - no for yes, no in likely])) if likely else -np.inf
        return tried


@dataclass(frozen=True)
class Neutral:
    """`_target_: mindgap.steering.asking.Neutral`. As many words as an instruction has, asking for nothing: its null.

    Attributes:
        instruction: The instruction whose length is taken, with `{query}`.
    """

    instruction: str = "When answering, please {query}."
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate"})

    def __post_init__(self) -> None:
        _check_instruction(self.instruction)

    def asked(self, queries: Sequence[Query], bench: SteeringBench) -> list[Asked | Declined]:
        """See `Asking.asked`."""
        lengths = [len(self.instruction.replace("{query}", query.text).split()) for query in queries]
        words = NEUTRAL.split()
        return [Asked(" ".join(islice(cycle(words), length)).rstrip(".,") + ".") for length in lengths]


def _writer(bench: SteeringBench, name: str | None, provider: LiteLLMBackend) -> SteeringBench:
    return bench if name is None else hosted_writer(bench, name, provider)


def _check_instruction(instruction: str) -> None:
    if "{query}" not in instruction:
        raise ConfigError(f"{WHERE}.instruction={instruction!r} does not say where the query goes: put {{query}} in it")
