"""Feature edits inside a batch that depend on how active features are: pins, ablations, conditional edits.

A pass reads only the features that its own rows edit or compare, in one small matrix product, so the cost does not grow
with the features of the run; a TopK SAE has to be encoded whole, for the rows concerned. Edits that add the same vector
wherever they act are not for this module: they are in a `LayerTable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from mindgap.core.edits import FeatureEdit, Operator
from mindgap.sae.sae import SAE

ACTIVATIONS_PER_STEP = 16 * 2**20
"""Most activations that are in memory at once while a TopK SAE is encoded: 64 MB, a few times over."""

HOLDS: dict[Operator, tuple[bool, bool, bool]] = {
    "<": (True, False, False),
    "<=": (True, True, False),
    "==": (False, True, False),
    "!=": (True, False, True),
    ">=": (False, True, True),
    ">": (False, False, True),
}
"""Whether a comparison holds for an activation below, at and above its bound."""


class _Sets(NamedTuple):
    """Distinct sets of edits, one a row: `[sets, edits]`, or `[sets, edits, comparisons]` where it says so.

    Set 0 is empty. Padding adds nothing: gain 0, offset 0, and comparisons that never hold. A feature is given by its
    place among all that the run touches.
    """

    feature: torch.Tensor
    gain: torch.Tensor  # the edit's gain minus 1: what the activation is multiplied by
    offset: torch.Tensor  # in units of activation
    needed: torch.Tensor  # how many comparisons must hold; 0 where there is no condition
    compared: torch.Tensor  # [sets, edits, comparisons], like the following: features
    bound: torch.Tensor
    below: torch.Tensor
    at: torch.Tensor
    above: torch.Tensor


@dataclass(frozen=True)
class FeaturePass:
    """The edits of the running pass.

    Attributes:
        rows: Which rows of the batch have any.
        sets: Theirs, one a row.
        chosen: `[n]`, the features to read.
        read: `[rows, edits * (1 + comparisons)]`, where among them each row has its edited and then its compared
            features.
        directions: `[rows, edits, d_model]`.
        real: `[rows, tokens]` or None.
    """

    rows: torch.Tensor
    sets: _Sets
    chosen: torch.Tensor
    read: torch.Tensor
    directions: torch.Tensor
    real: torch.Tensor | None


class FeatureTable:
    """What the feature edits of a run need, on the device; `for_rows` narrows it to a pass, `change` computes.

    Args:
        requests: The edits of each.
        sae: For TopK with its encoder on `device`; of any other the weights of the features concerned are brought
            there, and nothing else of it is touched.
    """

    def __init__(self, requests: Sequence[Sequence[FeatureEdit]], sae: SAE, device: torch.device) -> None:
        self.layer = sae.layer
        known: dict[tuple[str, ...], int] = {(): 0}
        sets: list[Sequence[FeatureEdit]] = [()]

        def number(edits: Sequence[FeatureEdit]) -> int:
            key = tuple(edit.key for edit in edits)
            if key not in known:
                known[key] = len(sets)
                sets.append(edits)
            return known[key]

        everywhere = [[edit for edit in edits if edit.positions == "all"] for edits in requests]
        self._prompt_sets = torch.tensor([number(edits) for edits in everywhere], device=device)
        self._response_sets = torch.tensor([number(edits) for edits in requests], device=device)
        features = sorted({feature for edits in sets for edit in edits for feature in _touched(edit)})
        self._sets = _Sets(*(torch.as_tensor(part, device=device) for part in _tabulate(sets, features)))
        self._directions = sae.directions(features).to(device)
        self._sae = sae if sae.k is not None else _narrowed(sae, features).to(device, torch.float32)
        self._columns = torch.tensor(features if sae.k is not None else range(len(features)), device=device)

    def for_rows(self, requests: torch.Tensor, *, response: bool, real: torch.Tensor | None) -> FeaturePass | None:
        """What a pass of these rows needs, None where no row has feature edits; see `Steering.rows_are`."""
        numbers = (self._response_sets if response else self._prompt_sets)[requests]
        rows = numbers.nonzero()[:, 0]
        if not len(rows):
            return None
        sets = _Sets(*(part[numbers[rows]] for part in self._sets))
        wanted = torch.cat([sets.feature, sets.compared.flatten(1)], dim=1)
        places, read = torch.unique(wanted, return_inverse=True)
        directions = self._directions[sets.feature]
        return FeaturePass(rows, sets, self._columns[places], read, directions, None if real is None else real[rows])

    def change(self, now: FeaturePass, unedited: torch.Tensor, steered: torch.Tensor) -> torch.Tensor:
        """`steered` with the pass's feature edits added, computed from `unedited`: all `[rows, tokens, d_model]`."""
        sets = now.sets
        activations = self._activations(unedited[now.rows].float(), now.chosen).take_along_dim(now.read[:, None], -1)
        edits = sets.feature.shape[1]
        own, compared = activations[..., :edits], activations[..., edits:]
        compared = compared.reshape(*own.shape, sets.compared.shape[2])
        bound, below, at, above = (part[:, None] for part in (sets.bound, sets.below, sets.at, sets.above))
        held = torch.where(compared < bound, below, torch.where(compared > bound, above, at))
        acts = held.sum(-1) >= sets.needed[:, None]
        amount = (own * sets.gain[:, None] + sets.offset[:, None]) * acts  # [rows, tokens, edits]
        if now.real is not None:
            amount = amount * now.real[:, :, None]
        return steered.index_add(0, now.rows, (amount @ now.directions).to(steered.dtype))

    def _activations(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Activations `[rows, tokens, features]` of `x`, a few rows at a time where there are many of them."""
        step = max(1, ACTIVATIONS_PER_STEP // (x.shape[1] * self._sae.features))
        return torch.cat([self._sae.activations(some, features) for some in torch.split(x, step)])


def _narrowed(sae: SAE, features: list[int]) -> SAE:
    """An SAE that has these features alone, in this order. Not for TopK, where all features compete."""
    return replace(
        sae,
        encoder=sae.encoder[features],
        encoder_bias=sae.encoder_bias[features],
        decoder=sae.decoder[features],
        threshold=None if sae.threshold is None else sae.threshold[features],
        scale=None,
    )


def _touched(edit: FeatureEdit) -> list[int]:
    """The features that an edit changes or compares."""
    return [edit.feature, *(comparison.feature for comparison in (edit.when.comparisons if edit.when else ()))]


def _tabulate(sets: Sequence[Sequence[FeatureEdit]], features: list[int]) -> list[np.ndarray]:
    """The arrays of `_Sets`."""
    place = {feature: number for number, feature in enumerate(features)}
    edits = max(map(len, sets))
    comparisons = max((len(edit.when.comparisons) for some in sets for edit in some if edit.when), default=0)
    small, large = (len(sets), edits), (len(sets), edits, comparisons)
    feature, needed, compared = np.zeros(small, np.int64), np.zeros(small, np.int64), np.zeros(large, np.int64)
    gain, offset, bound = np.zeros(small, np.float32), np.zeros(small, np.float32), np.zeros(large, np.float32)
    holds = np.zeros((3, *large), bool)
    for number, some in enumerate(sets):
        for column, edit in enumerate(some):
            here = number, column
            feature[here], gain[here], offset[here] = place[edit.feature], edit.gain - 1, edit.offset * edit.scale
            if edit.when:
                needed[here] = len(edit.when.comparisons) if edit.when.join == "and" else 1
                for layer, comparison in enumerate(edit.when.comparisons):
                    compared[*here, layer] = place[comparison.feature]
                    bound[*here, layer] = comparison.bound
                    holds[:, *here, layer] = HOLDS[comparison.operator]
    return [feature, gain, offset, needed, compared, bound, *holds]
