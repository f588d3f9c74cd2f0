"""Methods: how a behaviour is asked for. An instruction, interventions, both or neither, declared in YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, get_args

from mindgap.backends.base import Capability
from mindgap.core.edits import UNKNOWN_LAYER, Declined, Edit
from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, Query
from mindgap.steering.asking import Asked, Asking
from mindgap.steering.bench import SteeringBench


class Intervention(Protocol):
    """What is done inside the model for a query: settings and one verb.

    `needs` says what a backend must be capable of; it is checked before anything is spent.
    """

    @property
    def needs(self) -> frozenset[Capability]: ...

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> Sequence[tuple[Edit, ...] | Declined]:
        """The edits for each query at native strength, in the order of `queries`. Deterministic for a seed.

        Where it can make none for a query, the reason stands in their place.
        """


@dataclass(frozen=True)
class Method:
    """`conf/method/*.yaml`. Pure: it turns messages into new messages and touches nothing else.

    Attributes:
        name: Short name for folders and tables.
        label: For people.
        instruction: Sentence with `{query}` in it, given to the model; None = no instruction.
        instruction_in: Where it is given: `system`, the system prompt, or `user`, the end of the last user message.
        interventions: Applied together.
        asking: Makes the words for each query, in the place of `instruction`; None = nothing has to be made.
    """

    name: str
    label: str
    instruction: str | None = None
    interventions: tuple[Intervention, ...] = field(default=())
    instruction_in: str = "system"
    asking: Asking | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("method.name is empty: give the method a short name, it is used in folders and tables")
        if self.instruction is not None and "{query}" not in self.instruction:
            raise ConfigError(
                f"method.instruction={self.instruction!r} does not say where the query goes: put {{query}} in it, "
                "for example 'When answering, please {query}.'"
            )
        if self.instruction is not None and self.asking is not None:
            raise ConfigError("method.instruction and method.asking are both set: asking makes its own instruction")
        if self.instruction_in not in ("system", "user"):
            raise ConfigError(f"method.instruction_in={self.instruction_in!r}: choose system or user")

    @property
    def needs(self) -> frozenset[Capability]:
        """What a backend must be capable of to run this method."""
        needs: set[Capability] = {"generate", *(self.asking.needs if self.asking else ())}
        return frozenset(needs.union(*(intervention.needs for intervention in self.interventions)))

    @property
    def steers(self) -> bool:
        """Whether anything is done inside the model, so that a strength has an effect."""
        return bool(self.interventions)

    def messages(
        self, messages: tuple[Message, ...], query: Query, *, replace: bool = False, asked: Asked | None = None
    ) -> tuple[Message, ...]:
        """New messages with the instruction for `query` in the system prompt, or at the end of the last user message.

        It is added to the task's own system prompt, whose format instruction stays; `replace=True` puts it in its
        place, as the paper did. The task's own examples and earlier turns stay as they are.

        Args:
            messages: The task's.
            query: The behaviour.
            replace: See above.
            asked: What `asking` has made for the query.
        """
        if asked is not None and asked.examples:
            first = 1 if messages and messages[0].role == "system" else 0
            messages = (*messages[:first], *asked.examples, *messages[first:])
        instruction = asked.instruction if asked is not None else self.instruction
        if instruction is None:
            return messages
        instruction = instruction if asked is not None else instruction.replace("{query}", query.text)
        if self.instruction_in == "user":
            return _at_the_end(instruction, [m for m in messages if not (replace and m.role == "system")])
        if messages and messages[0].role == "system":
            system = instruction if replace else f"{messages[0].content}\n\n{instruction}"
            return (Message("system", system), *messages[1:])
        return (Message("system", instruction), *messages)

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[Edit, ...] | Declined]:
        """All interventions' edits for each query, at native strength; declined where one of them declines.

        Raises:
            ConfigError: A class of the user's own gives something else than edits, or edits of a block there is not.
        """
        per_intervention = []
        for number, intervention in enumerate(self.interventions):
            made = intervention.edits(queries, bench)
            where = f"method={self.name}: {type(intervention).__name__}.edits (method.interventions.{number})"
            _check_made(made, queries, where, getattr(bench.endpoint, "layers", None))
            per_intervention.append(made)
        return [_together(made) for made in zip(*per_intervention, strict=True)] or [()] * len(queries)


def _check_made(made: Sequence[Any], queries: Sequence[Query], where: str, layers: int | None) -> None:
    """Refuse what an intervention should not have given, before a model sees it."""
    if not isinstance(made, list | tuple) or len(made) != len(queries):
        given = f"{len(made)} entries" if isinstance(made, list | tuple) else f"a {type(made).__name__}"
        raise ConfigError(f"{where} gave {given}: it must give a list with an entry for each of {len(queries)} queries")
    for query, edits in zip(queries, made, strict=True):
        if isinstance(edits, Declined):
            continue
        if not isinstance(edits, tuple) or not all(isinstance(edit, get_args(Edit)) for edit in edits):
            raise ConfigError(
                f"{where} gave a {type(edits).__name__} for {query.text!r}: each entry must be a tuple of edits, "
                "(AddVector(…),), or a Declined with its reason"
            )
        for edit in edits:
            if layers is not None and edit.layer != UNKNOWN_LAYER and not 0 <= edit.layer < layers:
                raise ConfigError(
                    f"{where} edits block {edit.layer} for {query.text!r}: the model has blocks 0 to {layers - 1}"
                )


def _at_the_end(instruction: str, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with the instruction at the end of the last one that is the user's."""
    last = max((number for number, message in enumerate(messages) if message.role == "user"), default=None)
    if last is None:
        return (*messages, Message("user", instruction))
    asked = Message("user", f"{messages[last].content}\n\n{instruction}")
    return (*messages[:last], asked, *messages[last + 1 :])


def _together(made: Sequence[tuple[Edit, ...] | Declined]) -> tuple[Edit, ...] | Declined:
    together: tuple[Edit, ...] = ()
    for edits in made:
        if isinstance(edits, Declined):
            return edits
        together += edits
    return together
