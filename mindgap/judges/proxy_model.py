"""A calibration of the proxy judge: the numbers that turn described responses into scores, and the file they lie in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.core.errors import ConfigError
from mindgap.core.records import JudgeRequest
from mindgap.judges.proxy_design import Described, closeness
from mindgap.judges.proxy_text import manners
from mindgap.text.embedding import Embedder

CALIBRATION_FORMAT = 1
SHIPPED_CALIBRATION = "proxy_judge.json"
TOGETHER = 0.5
"""Scale of the columns that let a feature count differently for different queries: a smaller one binds them tighter."""
SMALLEST_WIDTH = 0.01
"""Of a feature's range: one that hardly varied in fitting does not make every other text a stranger."""
FAR = 0.25
"""Beyond the range of a feature by this share of its width, a response is unlike what was met in fitting. So are
1.0 % of the recorded ones themselves, since the range leaves out their extremes."""
MEANING_SCALE = 6.0
"""Brings the coordinates of a unit vector of 384 dimensions to about the spread of a standardised feature."""


@dataclass(frozen=True)
class Standard:
    """Puts columns on a common scale: clipped to the range that was met in fitting, then less the mean, over the
    spread.

    Attributes:
        low: Smallest values, `[columns]`.
        high: Largest values.
        mean: Of the clipped values.
        sd: Their standard deviations.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        standardised: np.ndarray = (np.clip(values, self.low, self.high) - self.mean) / self.sd
        return standardised

    def beyond(self, values: np.ndarray) -> np.ndarray:
        """How far values lie outside the range that was met, as a share of its width; 0 = inside. `[n, columns]`."""
        width = np.maximum(self.high - self.low, SMALLEST_WIDTH)
        beyond: np.ndarray = np.maximum(np.maximum(values - self.high, self.low - values), 0) / width
        return beyond


@dataclass(frozen=True)
class Map:
    """From columns to a score: `intercept + columns @ weights`, then through a monotone line, flat outside.

    Attributes:
        intercept: Of the sum.
        weights: Of the columns, `[columns]`.
        given: Sums at the line's corners; never fall.
        score: Scores at the line's corners; never fall.
    """

    intercept: float
    weights: np.ndarray
    given: np.ndarray
    score: np.ndarray

    def raw(self, columns: np.ndarray) -> np.ndarray:
        """The weighted sum, before the line."""
        raw: np.ndarray = self.intercept + columns @ self.weights
        return raw

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        return np.clip(np.interp(self.raw(columns), self.given, self.score), 1, 5)


@dataclass(frozen=True)
class Frame:
    """Everything about the columns that is learned without scores.

    Attributes:
        names: Features that are read.
        values: Standards of the features.
        wish: Standards of the wishes.
        centre: Mean meaning, `[384]`; empty without embeddings.
        axes: Principal directions of meaning, `[k, 384]`; empty without embeddings.
        queries: The known ones.
    """

    names: tuple[str, ...]
    values: Standard
    wish: Standard
    centre: np.ndarray
    axes: np.ndarray
    queries: tuple[str, ...]

    def columns(self, described: Described) -> np.ndarray:
        """Columns of coherence, which do not know the query: `[n, 2 (features + k)]`.

        The second half is 0 but for responses that answer with a letter: what is coherent in an essay need not be so in
        the reasoning for an option.
        """
        plain = self._plain(described)
        answers = described.values[:, [self.names.index("answers")]]
        return np.hstack([plain, TOGETHER * answers * plain])

    def asked_columns(self, described: Described, shares: np.ndarray) -> np.ndarray:
        """Columns of behaviour: those of coherence, the wish, the shares, and features by query.

        Args:
            described: The responses.
            shares: How much of each known query is in theirs, `[n, queries]`.
        """
        plain = self._plain(described)
        manner_places = [self.names.index(f"manner:{manner_words.name}") for manner_words in manners()]
        wish = self.wish(described.wish)
        wish[:, 0] = (described.wanted * plain[:, manner_places]).sum(1)
        by_query = (shares[:, :, None] * plain[:, None, :]).reshape(len(plain), -1)
        return np.hstack([self.columns(described), wish, shares, TOGETHER * by_query])

    def outside(self, described: Described) -> list[list[str]]:
        """For each response, the features that lie far beyond what was met in fitting, in words, the farthest first.

        How much of a manner it shows is no reason for doubt: that is what is judged.
        """
        named = [name.replace("_", " ") for name in self.names]
        beyond = self.values.beyond(described.values)
        beyond[:, [name.startswith("manner:") for name in self.names]] = 0
        return [[named[place] for place in np.argsort(-row) if row[place] > FAR] for row in beyond]

    def _plain(self, described: Described) -> np.ndarray:
        meaning = (described.meaning - self.centre) @ self.axes.T * MEANING_SCALE
        return np.hstack([self.values(described.values), meaning])


@dataclass(frozen=True)
class Calibration:
    """A frame, and the two maps that were fitted on it.

    Attributes:
        frame: What the columns are.
        behaviour: Their map to behaviour.
        coherence: Their map to coherence.
    """

    frame: Frame
    behaviour: Map
    coherence: Map

    def scores(self, requests: list[JudgeRequest], described: Described, embedder: Embedder | None) -> np.ndarray:
        """Behaviour and coherence, `[n, 2]`, in [1, 5].

        Args:
            requests: What is judged.
            described: The same, in numbers.
            embedder: As in describing them.

        Raises:
            ConfigError: The calibration was fitted on other features.
        """
        if described.names != self.frame.names:
            raise ConfigError("judge.calibration was fitted on other features: fit it anew, as its card says")
        shares = closeness([request.query for request in requests], self.frame.queries, embedder)
        asked = self.behaviour(self.frame.asked_columns(described, shares))
        return np.stack([asked, self.coherence(self.frame.columns(described))], axis=1)


@dataclass(frozen=True)
class CalibrationFile:
    """What a calibration file holds.

    Attributes:
        digest: Hash of the file's bytes.
        card: What it was fitted on, for people.
        text: The calibration without embeddings.
        embedding: The one with embeddings; None = there is none.
    """

    digest: str
    card: Mapping[str, Any]
    text: Calibration
    embedding: Calibration | None


@cache
def load_calibration(path: str | None) -> CalibrationFile:
    """The calibration in a file.

    Args:
        path: The file; None = the shipped one.

    Raises:
        ConfigError: It is no calibration, or of another version.
    """
    try:
        file = resources.files("mindgap") / "data" / SHIPPED_CALIBRATION if path is None else Path(path)
        data = file.read_bytes()
        node = json.loads(data)
        if node["format"] != CALIBRATION_FORMAT:
            raise ConfigError(
                f"judge.calibration={path}: of format {node['format']}, this version reads {CALIBRATION_FORMAT}"
            )
        with_meaning = node["embedding"]
        return CalibrationFile(
            hashlib.sha256(data).hexdigest(),
            node["card"],
            _calibration(node["text"]),
            _calibration(with_meaning) if with_meaning is not None else None,
        )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"judge.calibration={path}: not a calibration of the proxy judge ({type(error).__name__}: {error}). "
            "Write one: python -m mindgap.judge.calibrate --help"
        ) from error


def as_node(calibration: Calibration) -> dict[str, Any]:
    """`calibration` as plain JSON, numbers rounded to what matters."""
    frame = calibration.frame
    return {
        "features": list(frame.names),
        "queries": list(frame.queries),
        "values": _standard_node(frame.values),
        "wish": _standard_node(frame.wish),
        "centre": _numbers(frame.centre, 4),
        "axes": [_numbers(axis, 3) for axis in frame.axes],
        "behaviour": _map_node(calibration.behaviour),
        "coherence": _map_node(calibration.coherence),
    }


def _calibration(node: Mapping[str, Any]) -> Calibration:
    centre = np.array(node["centre"], dtype=float)
    axes = np.array(node["axes"], dtype=float).reshape(len(node["axes"]), len(centre))
    values, wish = (Standard(**{k: np.array(v) for k, v in node[name].items()}) for name in ("values", "wish"))
    frame = Frame(tuple(node["features"]), values, wish, centre, axes, tuple(node["queries"]))
    return Calibration(frame, _map(node["behaviour"]), _map(node["coherence"]))


def _map(node: Mapping[str, Any]) -> Map:
    arrays = {name: np.array(node[name], dtype=float) for name in ("weights", "given", "score")}
    if np.any(np.diff(arrays["given"]) < 0) or np.any(np.diff(arrays["score"]) < 0):
        raise ValueError("given and score must never fall")
    return Map(float(node["intercept"]), **arrays)


def _map_node(score_map: Map) -> dict[str, Any]:
    return {
        "intercept": round(score_map.intercept, 4),
        "weights": _numbers(score_map.weights, 4),
        "given": _numbers(score_map.given, 4),
        "score": _numbers(score_map.score, 3),
    }


def _standard_node(standard: Standard) -> dict[str, Any]:
    return {name: _numbers(getattr(standard, name), 5) for name in ("low", "high", "mean", "sd")}


def _numbers(values: np.ndarray, digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
