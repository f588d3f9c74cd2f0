"""Edits of a request as a program for the plugin in a vLLM server; the form is described in `vllm_plugin`'s `wire.py`.

The vectors travel with the request, so a server keeps nothing between requests and any of several may answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindgap.core.directions import NEVER, DirectionEdit, window
from mindgap.core.edits import AddVector, Condition, Edit, FeatureEdit, Positions

if TYPE_CHECKING:
    from mindgap.sae.sae import SAE

WIRE = 1
"""Version of the form."""


def program_of(edits: Sequence[Edit], *, start: int, sae: SAE | None) -> str | None:
    """What is done inside the model for a request, as the plugin reads it; None where nothing changes anything.

    Args:
        edits: Those of the request, of blocks, widths and features that the model has, without conditions on prompts.
        start: Index of the last prompt token, the first position that predicts a response token.
        sae: Of the edits of features.

    Raises:
        ValueError: For an edit that a server cannot make.
    """
    program = _Program(start, sae)
    for edit in edits:
        if isinstance(edit, AddVector):
            program.add(edit.layer, _span(edit.positions, start), edit.vector)
        elif isinstance(edit, FeatureEdit):
            program.change_feature(edit)
        else:
            program.change_direction(edit)
    return program.text()


class _Program:
    """A program in the making."""

    def __init__(self, start: int, sae: SAE | None) -> None:
        self._start, self._sae = start, sae
        self._vectors: dict[bytes, int] = {}
        self._sums: dict[tuple[int, tuple[int, int]], list[np.ndarray]] = {}
        self._layers: dict[int, dict[str, list[Any]]] = {}
        self._fades = False

    def add(self, layer: int, span: tuple[int, int], vector: np.ndarray) -> None:
        """Add a vector as it is. Several at the same tokens are summed here."""
        if span[0] <= span[1] and np.any(vector):
            self._sums.setdefault((layer, span), []).append(vector)

    def change_feature(self, edit: FeatureEdit) -> None:
        sae = self._sae
        assert sae is not None  # `check_edits` refused it otherwise
        direction: np.ndarray = sae.directions([edit.feature]).cpu().numpy()[0]
        span = _span(edit.positions, self._start)
        if edit.is_nudge and edit.when is None:
            self.add(edit.layer, span, np.float32(edit.offset * edit.scale) * direction)
            return
        if edit.gain == 1 and edit.offset == 0:
            return
        change: dict[str, Any] = {
            "read": self._read_feature(edit.layer, edit.feature),
            "write": self._vector(direction),
            "gain": edit.gain - 1,
            "offset": edit.offset * edit.scale,
        }
        if edit.when is not None:
            change["when"] = self._condition(edit.layer, edit.when)
        self._change(edit.layer, "feature", span, change)

    def change_direction(self, edit: DirectionEdit) -> None:
        if not edit.changes:
            return
        if edit.gate is not None:
            raise ValueError("a condition on the prompt was not decided before the prompt was sent")
        span = _window(edit.positions, self._start)
        if edit.operation == "add" and edit.half_life is None:
            self.add(edit.layer, span, np.float32(edit.share) * edit.vector)
            return
        adds = edit.operation in ("add", "add_constant_norm")
        write = self._vector(edit.unit)
        change: dict[str, Any] = {"write": write, "share": edit.share * (_length(edit.vector) if adds else 1.0)}
        if edit.half_life is not None:
            change["fading"] = float(np.log(2) / edit.half_life)
            self._fades = True
        if edit.operation == "rank_one":
            assert edit.second is not None
            change |= {"read": self._read(edit.layer, edit.second, edit.offset), "gain": 1.0, "offset": 0.0}
        elif edit.operation != "add":
            change["read"] = self._read(edit.layer, edit.unit)
        if edit.operation == "ablate":
            change |= {"low": 0.0, "high": 0.0}
        elif edit.operation == "clamp":
            change |= {"low": _finite(edit.low), "high": _finite(edit.high)}
        elif edit.operation == "rotate":
            assert edit.second is not None
            across = self._read(edit.layer, edit.second)
            change |= {"second_read": across, "second_write": self._vector(edit.second)}
            change["angle"] = float(np.deg2rad(edit.degrees))
        kinds = {"add": "add", "add_constant_norm": "constant_norm", "rotate": "rotate", "rank_one": "feature"}
        self._change(edit.layer, kinds.get(edit.operation, "bound"), span, change)

    def text(self) -> str | None:
        """The program as JSON: the same for the same edits, since the prefix cache is keyed by it."""
        for (layer, span), vectors in self._sums.items():
            summed: np.ndarray = np.stack(vectors).sum(axis=0, dtype=np.float32)
            self._layer(layer)["add"].append([*_ends(span), self._vector(summed)])
        if not self._layers:
            return None
        whole = b"".join(self._vectors)
        width = len(next(iter(self._vectors))) // 4
        program = {
            "version": WIRE,
            "width": width,
            "dtype": "float32",
            "vectors": base64.b64encode(whole).decode("ascii"),
            # only where it matters: prompts that begin alike then share what the server has cached of them
            **({"start": self._start} if self._fades else {}),
            "layers": {str(layer): self._layers[layer] for layer in sorted(self._layers)},
        }
        return json.dumps(program, separators=(",", ":"), allow_nan=False)

    def _layer(self, layer: int) -> dict[str, list[Any]]:
        return self._layers.setdefault(layer, {"add": [], "read": [], "change": []})

    def _change(self, layer: int, kind: str, span: tuple[int, int], change: dict[str, Any]) -> None:
        first, last = _ends(span)
        if span[0] <= span[1]:
            self._layer(layer)["change"].append({"kind": kind, "from": first, "to": last, **change})

    def _vector(self, vector: np.ndarray) -> int:
        return self._vectors.setdefault(vector.astype("<f4").tobytes(), len(self._vectors))

    def _read(self, layer: int, vector: np.ndarray, bias: float = 0.0, threshold: float | None = None) -> int:
        reads, entry = self._layer(layer)["read"], [self._vector(vector), bias, threshold]
        if entry not in reads:
            reads.append(entry)
        return reads.index(entry)

    def _read_feature(self, layer: int, feature: int) -> int:
        """A feature's activation as one projection: centring and scale go into vector and bias."""
        sae = self._sae
        assert sae is not None
        if sae.k is not None:
            raise ValueError(
                "features of a TopK SAE compete, so a server cannot read one of them: backend=local pins and compares "
                "them; nudges (as Auto Steer makes them) are served"
            )
        encoder = sae.encoder[feature].double().cpu().numpy() * sae.input_scale
        bias = float(sae.encoder_bias[feature])
        if sae.centred:
            bias -= float(encoder @ sae.decoder_bias.double().cpu().numpy())
        threshold = 0.0 if sae.threshold is None else float(sae.threshold[feature])
        return self._read(layer, encoder, bias, threshold)

    def _condition(self, layer: int, when: Condition) -> dict[str, Any]:
        from mindgap.backends.local.feature_edits import HOLDS

        compare = [
            [self._read_feature(layer, each.feature), each.bound, *HOLDS[each.operator]] for each in when.comparisons
        ]
        return {"needed": len(compare) if when.join == "and" else 1, "compare": compare}


def _span(positions: Positions, start: int) -> tuple[int, int]:
    return (start if positions == "response" else 0, NEVER)


def _window(positions: str, start: int) -> tuple[int, int]:
    """First and last token of the text at which an edit acts."""
    bounds = window(positions)
    first = bounds.first if bounds.begin == -NEVER else max(bounds.first, start + bounds.begin)
    last = bounds.last if bounds.end == NEVER else min(bounds.last, start + bounds.end)
    return max(0, first), last


def _ends(span: tuple[int, int]) -> tuple[int, int | None]:
    return span[0], None if span[1] >= NEVER else span[1]


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def _finite(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
