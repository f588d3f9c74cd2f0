"""From an SDK's controller to edits of features, and to events.

A value is in units of the feature's scale, its typical maximum activation, exactly like `FeatureEdit.offset`. Several
interventions on one feature act one after the other, as they are written: each is an affine map of the activation, and
so is what they do together, which makes one edit. A scope does where its conditions hold what its interventions add to
that; if several scopes hold at once, what they change adds up.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mindgap.core.edits import Comparison, Condition, FeatureEdit, Operator
from mindgap.ember.catalogue import Features
from mindgap.ember.errors import RequestError
from mindgap.ember.schemas import (
    ConditionalGroupIn,
    ConditionalIn,
    ControllerIn,
    FeatureGroupIn,
    InterventionIn,
    ScopeIn,
)

Clause = tuple[Comparison, ...]
"""Comparisons of which at least one has to hold."""
MOST_ALTERNATIVES = 6
"""Clauses with alternatives that one condition may join by AND: each doubles the edits it takes."""
DEEPEST = 8
"""Scopes inside scopes."""
MOST_EDITS = 2000

OPPOSITE: dict[Operator, Operator] = {"<": ">=", "<=": ">", "==": "!=", "!=": "==", ">=": "<", ">": "<="}


@dataclass(frozen=True)
class Event:
    """Happens where all clauses hold, at a token that predicts a token of the reply."""

    name: str
    clauses: tuple[Clause, ...]

    @property
    def features(self) -> frozenset[int]:
        return frozenset(one.feature for clause in self.clauses for one in clause)

    def happens(self, activations: Mapping[int, float]) -> bool:
        return all(any(_holds(one, activations[one.feature]) for one in clause) for clause in self.clauses)


@dataclass(frozen=True)
class Steered:
    """What a controller asks for."""

    edits: tuple[FeatureEdit, ...] = ()
    events: tuple[Event, ...] = ()


Change = tuple[float, float]
"""(gain, offset): the activation a becomes gain a + offset, in units of the scale."""
UNCHANGED: Change = (1.0, 0.0)


def compiled(controller: ControllerIn | None, features: Features | None) -> Steered:
    """Raises RequestError: 404 for features that the SAE does not have, 400 for what cannot be done."""
    if controller is None or not (controller.interventions or controller.scopes):
        return Steered()
    if features is None:
        raise RequestError(400, "This model has no sparse autoencoder, so it cannot be steered by features.")
    return _Compiler(features).run(controller)


class _Compiler:
    def __init__(self, features: Features) -> None:
        self._features = features
        self._edits: list[FeatureEdit] = []
        self._events: list[Event] = []

    def run(self, controller: ControllerIn) -> Steered:
        self._check_settings(controller)
        base = self._changes(controller.interventions, {})
        for feature, change in base.items():
            if change != UNCHANGED:
                self._edits.append(self._edit(feature, change))
        for scope in controller.scopes:
            self._scope(scope, (), base, depth=1)
        if len(self._edits) > MOST_EDITS:
            raise RequestError(400, f"The controller makes {len(self._edits)} edits; {MOST_EDITS} are the most.")
        return Steered(tuple(self._edits), tuple(self._events))

    def _scope(self, scope: ScopeIn, above: tuple[Clause, ...], base: Mapping[int, Change], depth: int) -> None:
        if depth > DEEPEST:
            raise RequestError(400, f"Scopes are nested more than {DEEPEST} deep.")
        self._check_settings(scope.controller)
        clauses = (*above, *self._clauses(scope.conditionals))
        if scope.event_name is not None:
            self._events.append(Event(scope.event_name, clauses))
        inner = self._changes(scope.controller.interventions, base)
        for feature, (gain, offset) in inner.items():
            before = base.get(feature, UNCHANGED)
            change = (1 + gain - before[0], offset - before[1])
            if change != UNCHANGED:
                edit = self._edit(feature, change)
                self._edits += [
                    _when(edit if sign > 0 else edit.scaled(-1), condition) for sign, condition in _terms(clauses)
                ]
        for nested in scope.controller.scopes:
            self._scope(nested, clauses, inner, depth + 1)

    def _changes(self, interventions: Sequence[InterventionIn], before: Mapping[int, Change]) -> dict[int, Change]:
        """What is done to each feature in all, in the order of first mention."""
        changes = dict(before)
        for intervention in interventions:
            for feature in self._indices(intervention.features):
                gain, offset = changes.get(feature, UNCHANGED)
                if intervention.mode == "nudge":
                    changes[feature] = gain, offset + intervention.value
                elif intervention.mode == "pin":
                    changes[feature] = 0.0, intervention.value
                else:
                    changes[feature] = gain * intervention.value, offset * intervention.value
        return changes

    def _edit(self, feature: int, change: Change) -> FeatureEdit:
        gain, offset = change
        scale = float(self._features.scales[feature])
        if offset and not scale:
            raise RequestError(
                400, f"Feature {feature} was never seen active, so it has no scale and its value means nothing."
            )
        try:
            return FeatureEdit(
                sae=self._features.sae,
                layer=self._features.layer,
                feature=feature,
                scale=scale,
                direction=None,  # the engine takes the SAE's own
                gain=gain,
                offset=offset,
            )
        except ValueError as error:
            raise RequestError(400, str(error)) from error

    def _clauses(self, group: ConditionalGroupIn) -> tuple[Clause, ...]:
        """The group as clauses that all have to hold. A group of features is compared by any of them."""
        each = [self._comparisons(conditional) for conditional in group.conditionals]
        return tuple(each) if group.operator == "AND" else (tuple(itertools.chain(*each)),)

    def _comparisons(self, one: ConditionalIn) -> Clause:
        if not isinstance(one.right_hand, float):
            raise RequestError(400, "A condition compares features with a number here, not with other features.")
        comparisons = []
        for feature in self._indices(one.left_hand):
            scale = float(self._features.scales[feature])
            if one.right_hand and not scale:
                raise RequestError(400, f"Feature {feature} was never seen active, so it cannot be compared.")
            comparisons.append(Comparison(feature, one.operator, one.right_hand, scale))
        return tuple(comparisons)

    def _indices(self, group: FeatureGroupIn) -> list[int]:
        return [self._features.check(feature.index_in_sae, feature.uuid) for feature in group.features]

    def _check_settings(self, controller: ControllerIn) -> None:
        for name in ("nonzero_strength_threshold", "min_nudge_entropy", "max_nudge_entropy"):
            if getattr(controller, name) is not None:
                raise RequestError(400, f"controller.{name} is not supported by this server; leave it out.")


def _terms(clauses: Sequence[Clause]) -> list[tuple[int, Condition | None]]:
    """Signed conditions whose indicators add up to that of all `clauses` holding.

    A condition of the engine joins its comparisons either by AND or by OR. Of clauses with alternatives,
    1(A or B) = 1 - 1(not A and not B), and the product of these over the clauses is multiplied out.
    """
    if len(clauses) == 1:
        return [(1, _condition(clauses[0], "or" if len(clauses[0]) > 1 else "and"))]
    single = [clause[0] for clause in clauses if len(clause) == 1]
    several = [clause for clause in clauses if len(clause) > 1]
    if len(several) > MOST_ALTERNATIVES:
        raise RequestError(
            400, f"A condition joins {len(several)} groups of alternatives by AND; {MOST_ALTERNATIVES} are the most."
        )
    terms = []
    for size in range(len(several) + 1):
        for chosen in itertools.combinations(several, size):
            failing = [
                Comparison(c.feature, OPPOSITE[c.operator], c.value, c.scale) for clause in chosen for c in clause
            ]
            terms.append(((-1) ** size, _condition((*single, *failing), "and")))
    return terms


def _condition(comparisons: Sequence[Comparison], join: Literal["and", "or"]) -> Condition | None:
    return Condition(tuple(comparisons), join) if comparisons else None


def _when(edit: FeatureEdit, condition: Condition | None) -> FeatureEdit:
    return replace(edit, when=condition)


def _holds(one: Comparison, activation: float) -> bool:
    bound = one.bound
    return {
        "<": activation < bound,
        "<=": activation <= bound,
        "==": activation == bound,
        "!=": activation != bound,
        ">=": activation >= bound,
        ">": activation > bound,
    }[one.operator]
