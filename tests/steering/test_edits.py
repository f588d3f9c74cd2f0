"""Edits are frozen, and their key covers all that they do and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mindgap.steering.edits import AddVector

EDIT = AddVector(3, np.array([1.0, 2.0]), "all", "a label")


def test_the_key_covers_vector_layer_and_positions_but_not_the_label() -> None:
    assert dataclasses.replace(EDIT, label="other").key == EDIT.key
    changed = [
        dataclasses.replace(EDIT, layer=4),
        dataclasses.replace(EDIT, positions="response"),
        dataclasses.replace(EDIT, vector=np.array([1.0, 2.0000002])),
    ]
    assert len({EDIT.key, *(edit.key for edit in changed)}) == 4


def test_nobody_can_change_a_vector_afterwards() -> None:
    source = np.array([1.0, 2.0], dtype=np.float32)
    edit = AddVector(0, source)
    source[0] = 9
    assert edit.vector[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        edit.vector[0] = 9


@pytest.mark.parametrize("vector", [np.ones((2, 2)), np.array([1.0, np.nan]), np.array([np.inf])])
def test_what_is_no_vector_is_refused(vector: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one-dimensional and finite"):
        AddVector(0, vector)
