"""Steering inside a batch: what each row's edits add at the output of each block.

Edits that add the same vector wherever they act (vectors and nudges) are summed into one table of vectors per layer,
gathered by row; those that depend on how active features are, are in a `FeatureTable`, and those that depend on a
projection or on where in the text a token stands, in a `DirectionTable` per layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from mindgap.backends.local.block_output import stream_of, with_stream
from mindgap.backends.local.direction_edits import DirectionPass, DirectionTable
from mindgap.backends.local.feature_edits import FeaturePass, FeatureTable
from mindgap.core.directions import NEVER, DirectionEdit
from mindgap.core.edits import AddVector, Edit, FeatureEdit
from mindgap.core.errors import MindgapError
from mindgap.sae.sae import SAE


@dataclass(frozen=True)
class LayerTable:
    """The distinct vectors of one layer. Row 0 is zero: a row that is not steered here points at it.

    Attributes:
        vectors: `[distinct + 1, d_model]`.
        prompt_rows: `[requests]`, the table row that each request adds at prompt positions.
        response_rows: `[requests]`, the table row that each request adds where its response is predicted.
    """

    vectors: torch.Tensor
    prompt_rows: torch.Tensor
    response_rows: torch.Tensor


def check_edits(edits: Sequence[Sequence[Edit]], layers: int, d_model: int, sae: SAE | None) -> None:
    """Raise ValueError for an edit of a layer, a width, an SAE or a feature that this model does not have."""
    for edit in {edit.key: edit for request in edits for edit in request}.values():
        if not 0 <= edit.layer < layers:
            raise ValueError(f"an edit names block {edit.layer}; the model has blocks 0 to {layers - 1}")
        if isinstance(edit, AddVector | DirectionEdit):
            if edit.vector.shape != (d_model,):
                raise ValueError(
                    f"a steering vector for block {edit.layer} must have width {d_model}, the model's d_model"
                )
            continue
        if sae is None or edit.sae != sae.identity:
            have = "none: name one in model.sae" if sae is None else sae.identity
            raise ValueError(f"an edit is of the SAE {edit.sae}, and the one opened with this model is {have}")
        if edit.layer != sae.layer:
            raise ValueError(f"an edit of a feature names block {edit.layer}; its SAE reads block {sae.layer}")
        compared = edit.when.comparisons if edit.when else ()
        for feature in (edit.feature, *(comparison.feature for comparison in compared)):
            if not 0 <= feature < sae.features:
                raise ValueError(f"an edit names feature {feature}; the SAE has features 0 to {sae.features - 1}")


def is_constant(edit: Edit) -> bool:
    """Whether it adds the same vector at all of its positions, however active any feature is there."""
    if isinstance(edit, FeatureEdit):
        return edit.is_nudge and edit.when is None
    return isinstance(edit, AddVector)


def build_tables(
    edits: Sequence[Sequence[Edit]], sae: SAE | None, d_model: int, device: torch.device, dtype: torch.dtype
) -> dict[int, LayerTable]:
    """Tables of all layers to which constant edits add. Several edits of one request on one layer add up.

    A feature's direction is the SAE's own, whatever the edit says: the edit's key names only SAE and feature.
    """
    nudges = {edit.key: edit for request in edits for edit in request if isinstance(edit, FeatureEdit)}
    directions: Mapping[int, np.ndarray] = {}
    if sae is not None and nudges:
        features = sorted({edit.feature for edit in nudges.values()})
        directions = dict(zip(features, sae.directions(features).cpu().numpy(), strict=True))
    vectors = {key: edit.offset * edit.scale * directions[edit.feature] for key, edit in nudges.items()}
    vectors |= {edit.key: edit.vector for request in edits for edit in request if isinstance(edit, AddVector)}
    tables: dict[int, LayerTable] = {}
    for layer in sorted({edit.layer for request in edits for edit in request}):
        rows = _Rows(vectors, d_model)
        prompt_rows, response_rows = [], []
        for request in edits:
            here = [edit for edit in request if edit.layer == layer]
            prompt_rows.append(rows.row([edit for edit in here if edit.positions == "all"]))
            response_rows.append(rows.row(here))
        tables[layer] = LayerTable(
            torch.tensor(np.stack(rows.vectors), device=device, dtype=dtype),
            torch.tensor(prompt_rows, device=device),
            torch.tensor(response_rows, device=device),
        )
    return tables


class _Rows:
    """The rows of a table in the making: one for every distinct sum of edits, zero first."""

    def __init__(self, by_key: Mapping[str, np.ndarray], d_model: int) -> None:
        self.vectors = [np.zeros(d_model, dtype=np.float32)]
        self._by_key = by_key
        self._known: dict[tuple[str, ...], int] = {(): 0}

    def row(self, edits: Sequence[Edit]) -> int:
        key = tuple(sorted(edit.key for edit in edits))
        if key not in self._known:
            self._known[key] = len(self.vectors)
            self.vectors.append(np.sum([self._by_key[edit.key] for edit in edits], axis=0, dtype=np.float32))
        return self._known[key]


class _Part(NamedTuple):
    """Tokens of the running pass that are steered alike, up to token `stop` (None = the last)."""

    stop: int | None
    added: dict[int, torch.Tensor]
    features: FeaturePass | None
    directions: dict[int, DirectionPass]


class NotSteeredError(MindgapError):
    """A block that was to be steered took no part in a pass: what came out is not what was asked for."""


class Steering:
    """Adds, at each steered block, what the edits of the running forward pass's rows add there.

    All edits of a block read its output as it is before any of them.

    Use as a context manager around forward passes; the hooks are gone afterwards. Before each pass say which
    requests its rows are: `rows_are`, or `row_is`. Leaving it raises NotSteeredError if a steered block never ran.
    """

    def __init__(
        self,
        blocks: nn.ModuleList,
        tables: dict[int, LayerTable],
        features: FeatureTable | None = None,
        directions: Mapping[int, DirectionTable] | None = None,
    ) -> None:
        self._blocks, self._tables, self._features = blocks, tables, features
        self._directions = directions or {}
        self._positions: torch.Tensor | None = None
        self._first = 0
        self._parts: list[_Part] = []
        self._ran: set[int] = set()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    @property
    def layers(self) -> frozenset[int]:
        """Blocks that any request steers."""
        features = {self._features.layer} if self._features else frozenset()
        return frozenset(self._tables) | frozenset(self._directions) | features

    def __enter__(self) -> Steering:
        self._ran.clear()
        for layer in self.layers:
            self._handles.append(self._blocks[layer].register_forward_hook(self._hook(layer)))
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if kind is None and (missed := sorted(self.layers - self._ran)):
            raise NotSteeredError(
                f"block {missed[0]} took no part in the pass and cannot be steered: this model does not use it for text"
            )

    def rows_are(
        self,
        requests: torch.Tensor,
        *,
        response: bool,
        real: torch.Tensor | None = None,
        ends: torch.Tensor | None = None,
    ) -> None:
        """State what the next passes carry.

        Args:
            requests: `[rows]`, index of each row's request.
            response: Whether the tokens are at response positions.
            real: `[rows, tokens]`, False at padding, which is never steered; None where there is none.
            ends: `[rows]`, index of each row's last prompt token in its text; None = all tokens are the prompt's.
        """
        ends = torch.full_like(requests, NEVER) if ends is None else ends
        self._positions, self._first = None, 0
        self._parts = [self._part(requests, None, ends, response=response, real=real)]

    def at(self, positions: torch.Tensor) -> None:
        """State where the tokens of the next pass stand: `[rows, tokens]`; without it they begin their rows' texts."""
        self._positions = positions

    def row_is(self, request: torch.Tensor, *, response_from: int, first: int = 0, end: int | None = None) -> None:
        """State that the next pass carries one whole row, whose response is predicted from a token on.

        Args:
            request: `[1]`, index of the row's request.
            response_from: First token at a response position.
            first: Where in the row's text the first token stands.
            end: Index of the last prompt token in the text; None = it is token `response_from` of the pass.
        """
        ends = torch.full_like(request, first + response_from if end is None else end)
        self._positions, self._first = None, first
        self._parts = [
            self._part(request, response_from, ends, response=False),
            self._part(request, None, ends, response=True),
        ]

    def _part(
        self,
        requests: torch.Tensor,
        stop: int | None,
        ends: torch.Tensor,
        *,
        response: bool,
        real: torch.Tensor | None = None,
    ) -> _Part:
        added = {}
        for layer, table in self._tables.items():
            vectors = table.vectors[(table.response_rows if response else table.prompt_rows)[requests]][:, None]
            added[layer] = vectors if real is None else vectors * real[:, :, None]
        features = self._features.for_rows(requests, response=response, real=real) if self._features else None
        directions = {}
        for layer, directed in self._directions.items():
            if (now := directed.for_rows(requests, ends=ends, real=real)) is not None:
                directions[layer] = now
        return _Part(stop, added, features, directions)

    def _hook(self, layer: int):  # type: ignore[no-untyped-def]  # torch's hook type is private
        features = self._features if self._features and self._features.layer == layer else None

        def steer(unedited: torch.Tensor, part: _Part, start: int) -> torch.Tensor:
            steered = unedited + part.added[layer] if layer in part.added else unedited
            if features and part.features:
                steered = features.change(part.features, unedited, steered)
            if layer in part.directions:
                positions = self._places(unedited, start)
                steered = self._directions[layer].change(part.directions[layer], unedited, steered, positions)
            return steered

        def add(module: nn.Module, args: object, output: Any) -> Any:
            self._ran.add(layer)
            unedited = stream_of(output)
            if len(self._parts) == 1:
                steered = steer(unedited, self._parts[0], 0)
            else:
                starts = [0, *(part.stop or 0 for part in self._parts[:-1])]
                pieces = zip(self._parts, starts, strict=True)
                steered = torch.cat(
                    [steer(unedited[:, start : part.stop], part, start) for part, start in pieces], dim=1
                )
            return with_stream(output, steered)

        return add

    def _places(self, stream: torch.Tensor, start: int) -> torch.Tensor:
        """Where the tokens of (a piece of) the running pass stand in their rows' texts: `[rows, tokens]`."""
        if self._positions is not None:
            return self._positions
        rows, tokens = stream.shape[:2]
        first = self._first + start
        return torch.arange(first, first + tokens, device=stream.device)[None].expand(rows, tokens)
