"""Conditions on prompts, decided before anything is steered: each row then has its edits, or has not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import token_streams
from mindgap.core.directions import DirectionEdit, Gate
from mindgap.core.edits import Edit


def decided(engine: Engine, prompts: Sequence[list[int]], edits: Sequence[tuple[Edit, ...]]) -> list[tuple[Edit, ...]]:
    """The edits of each row without conditions: those whose condition does not hold on its prompt are gone.

    Every distinct prompt is read once, by the unsteered model, up to the last block that a condition reads.

    Args:
        engine: The model.
        prompts: Token ids of each row's prompt.
        edits: Those of each row.

    Raises:
        ValueError: For a condition that this model cannot be asked.
    """
    gates = [[gate for edit in some if (gate := _gate(edit)) is not None] for some in edits]
    if not any(gates):
        return list(edits)
    for gate in (gate for some in gates for gate in some):
        if gate.vector.shape != (engine.d_model,) or not 0 <= gate.layer < engine.layers:
            raise ValueError(
                f"a condition on the prompt has width {len(gate.vector)} and reads block {gate.layer}; the model "
                f"has width {engine.d_model} and blocks 0 to {engine.layers - 1}"
            )
    layers = sorted({gate.layer for some in gates for gate in some})
    distinct = list(dict.fromkeys(tuple(prompt) for prompt, some in zip(prompts, gates, strict=True) if some))
    read: dict[tuple[int, ...], np.ndarray] = {}  # [layers, 2, d_model]: mean and last
    for index, stream in token_streams(engine, [list(prompt) for prompt in distinct], layers):
        read[distinct[index]] = np.stack([stream.mean(1).cpu().numpy(), stream[:, -1].cpu().numpy()], axis=1)

    def holds(gate: Gate, prompt: Sequence[int]) -> bool:
        return gate.holds(read[tuple(prompt)][layers.index(gate.layer), 0 if gate.read == "mean" else 1])

    rows = []
    for prompt, some in zip(prompts, edits, strict=True):
        kept = [(edit, _gate(edit)) for edit in some]
        rows.append(
            tuple(
                replace(edit, gate=None) if isinstance(edit, DirectionEdit) else edit
                for edit, gate in kept
                if gate is None or holds(gate, prompt)
            )
        )
    return rows


def _gate(edit: Edit) -> Gate | None:
    return edit.gate if isinstance(edit, DirectionEdit) else None
