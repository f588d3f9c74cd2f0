"""Steering inside a batch: one table of vectors per layer, gathered by row at the output of the block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mindgap.steering.edits import AddVector


@dataclass(frozen=True)
class LayerTable:
    """The distinct vectors of one layer. Row 0 is zero: a row that is not steered here points at it.

    vectors: `[distinct + 1, d_model]`. prompt_rows, response_rows: `[requests]`, the table row that each request
    adds at prompt positions and at the positions that predict its response.
    """

    vectors: torch.Tensor
    prompt_rows: torch.Tensor
    response_rows: torch.Tensor


def build_tables(
    edits: Sequence[tuple[AddVector, ...]], layers: int, d_model: int, device: torch.device, dtype: torch.dtype
) -> dict[int, LayerTable]:
    """Tables of all layers that any request steers. Several edits of one request on one layer add up.

    Raises ValueError for a layer or a width that the model does not have.
    """
    tables: dict[int, LayerTable] = {}
    for layer in sorted({edit.layer for request in edits for edit in request}):
        if not 0 <= layer < layers:
            raise ValueError(f"an edit names block {layer}; the model has blocks 0 to {layers - 1}")
        rows = _Rows(d_model)
        prompt_rows, response_rows = [], []
        for request in edits:
            here = [edit for edit in request if edit.layer == layer]
            if any(edit.vector.shape != (d_model,) for edit in here):
                raise ValueError(f"a steering vector for block {layer} must have width {d_model}, the model's d_model")
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

    def __init__(self, d_model: int) -> None:
        self.vectors = [np.zeros(d_model, dtype=np.float32)]
        self._known: dict[tuple[str, ...], int] = {(): 0}

    def row(self, edits: list[AddVector]) -> int:
        key = tuple(sorted(edit.key for edit in edits))
        if key not in self._known:
            self._known[key] = len(self.vectors)
            self.vectors.append(np.sum([edit.vector for edit in edits], axis=0, dtype=np.float32))
        return self._known[key]


class Steering:
    """Adds, at each steered block, the vectors of the rows of the running forward pass.

    Use as a context manager around forward passes; the hooks are gone afterwards. Before each pass say which
    requests its rows are: `rows_are`.
    """

    def __init__(self, blocks: nn.ModuleList, tables: dict[int, LayerTable]) -> None:
        self._blocks, self._tables = blocks, tables
        self._added: dict[int, torch.Tensor] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Steering:
        for layer in self._tables:
            self._handles.append(self._blocks[layer].register_forward_hook(self._hook(layer)))
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def rows_are(
        self, requests: torch.Tensor, *, response: bool | torch.Tensor, real: torch.Tensor | None = None
    ) -> None:
        """State what the next passes carry.

        requests: `[rows]`, index of each row's request. response: whether the tokens are at response positions:
        one answer for all, or `[rows, tokens]`. real: `[rows, tokens]`, False at padding, which is never
        steered; None where there is none.
        """
        self._added.clear()
        for layer, table in self._tables.items():
            prompt, reply = table.vectors[table.prompt_rows[requests]], table.vectors[table.response_rows[requests]]
            if isinstance(response, torch.Tensor):
                added = torch.where(response[:, :, None], reply[:, None], prompt[:, None])
            else:
                added = (reply if response else prompt)[:, None]
            if real is not None:
                added = added * real[:, :, None]
            self._added[layer] = added

    def _hook(self, layer: int):  # type: ignore[no-untyped-def]  # torch's hook type is private
        def add(module: nn.Module, args: object, output: object) -> object:
            if isinstance(output, tuple):  # blocks of some architectures return (hidden, …)
                return (output[0] + self._added[layer], *output[1:])
            return output + self._added[layer]  # type: ignore[operator]

        return add
