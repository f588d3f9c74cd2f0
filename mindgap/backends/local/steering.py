"""Steering inside a batch: what each row's edits add at the output of each block.

Edits that add the same vector wherever they act (vectors and nudges) are summed into one table of vectors per layer,
gathered by row; the others, which depend on how active features are, are in a `FeatureTable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mindgap.backends.local.feature_edits import FeatureTable
from mindgap.core.edits import AddVector, Edit, FeatureEdit
from mindgap.sae.sae import SAE


@dataclass(frozen=True)
class LayerTable:
    """The distinct vectors of one layer. Row 0 is zero: a row that is not steered here points at it.

    vectors: `[distinct + 1, d_model]`. prompt_rows, response_rows: `[requests]`, the table row that each request
    adds at prompt positions and at the positions that predict its response.
    """

    vectors: torch.Tensor
    prompt_rows: torch.Tensor
    response_rows: torch.Tensor


def check_edits(edits: Sequence[Sequence[Edit]], layers: int, d_model: int, sae: SAE | None) -> None:
    """Raise ValueError for an edit of a layer, a width, an SAE or a feature that this model does not have."""
    for edit in {edit.key: edit for request in edits for edit in request}.values():
        if not 0 <= edit.layer < layers:
            raise ValueError(f"an edit names block {edit.layer}; the model has blocks 0 to {layers - 1}")
        if isinstance(edit, AddVector):
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
    return isinstance(edit, AddVector) or (edit.is_nudge and edit.when is None)


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


class Steering:
    """Adds, at each steered block, what the edits of the running forward pass's rows add there.

    All edits of a block read its output as it is before any of them.

    Use as a context manager around forward passes; the hooks are gone afterwards. Before each pass say which
    requests its rows are: `rows_are`.
    """

    def __init__(
        self, blocks: nn.ModuleList, tables: dict[int, LayerTable], features: FeatureTable | None = None
    ) -> None:
        self._blocks, self._tables, self._features = blocks, tables, features
        self._added: dict[int, torch.Tensor] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Steering:
        for layer in self._tables.keys() | ({self._features.layer} if self._features else set()):
            self._handles.append(self._blocks[layer].register_forward_hook(self._hook(layer)))
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def rows_are(self, requests: torch.Tensor, *, response: bool, real: torch.Tensor | None = None) -> None:
        """State what the next passes carry.

        requests: `[rows]`, index of each row's request. response: whether the tokens are at response positions.
        real: `[rows, tokens]`, False at padding, which is never steered; None where there is none.
        """
        self._added.clear()
        for layer, table in self._tables.items():
            added = table.vectors[(table.response_rows if response else table.prompt_rows)[requests]][:, None]
            self._added[layer] = added if real is None else added * real[:, :, None]
        if self._features:
            self._features.rows_are(requests, response=response, real=real)

    def _hook(self, layer: int):  # type: ignore[no-untyped-def]  # torch's hook type is private
        features = self._features if self._features and self._features.layer == layer else None

        def add(module: nn.Module, args: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> object:
            unedited = output[0] if isinstance(output, tuple) else output
            steered = unedited + self._added[layer] if layer in self._added else unedited
            if features:
                steered = features.change(unedited, steered)
            # Blocks of some architectures return (hidden, …).
            return (steered, *output[1:]) if isinstance(output, tuple) else steered

        return add
