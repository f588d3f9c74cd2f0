"""Names cells by what sets them apart: the settings whose values differ between them, in words and for a folder."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mindgap.results.cell import BESIDE_CELLS

NAMED_OTHERWISE = frozenset({*BESIDE_CELLS, "strength", "judge", "resamples", "population"})
"""Settings that a name need not tell: they change no sample, or the strength's and the judge's own names tell them."""

LONGEST = 32
"""Characters of a value that a name shows."""
LONGEST_NAME = 150
"""Bytes of a folder's name; file systems take 255 or a little less."""


def flat(node: Any, path: str = "", *, into_lists: bool = False) -> dict[str, str]:
    """`{"task.limit": "8"}` from `{"task": {"limit": 8}}`.

    Args:
        node: A configuration, or a part of it.
        path: Where it stands.
        into_lists: Whether a list of mappings is entered, `interventions.0.depth`; else a list is one value.
    """
    if isinstance(node, Mapping):
        entries: Iterable[tuple[Any, Any]] = node.items()
    elif into_lists and isinstance(node, list) and node and all(isinstance(entry, Mapping) for entry in node):
        entries = enumerate(node)
    else:
        return {path: node if isinstance(node, str) else json.dumps(node, ensure_ascii=False, default=str)}
    inside = [flat(value, f"{path}.{key}" if path else str(key), into_lists=into_lists) for key, value in entries]
    return {key: value for settings in inside for key, value in settings.items()}


def unseeded(settings: Mapping[str, str]) -> dict[str, str]:
    """`settings` by dotted key without the seed, and without those seeds inside that are the same: they follow it."""
    seed = settings.get("seed")
    return {
        key: value for key, value in settings.items() if key.rpartition(".")[2] != "seed" or (value != seed and seed)
    }


def varying(configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Settings that differ between `configs`, as dotted keys in the configurations' order.

    A group's options (two tasks, two query sets) are told apart by their names alone; within one option, by the keys
    in which it differs. Methods and models have names of their own everywhere, so that only the latter remains.
    """
    keys: dict[str, None] = {}
    for part in dict.fromkeys(key for config in configs for key in config if key not in NAMED_OTHERWISE):
        having = [config for config in configs if part in config]
        nodes = [config[part] for config in having]
        flattened = [_of_part(config, part) for config in having]
        names = [str(node.get("name")) if isinstance(node, Mapping) else "" for node in nodes]
        if len(set(names)) > 1 and part not in ("method", "model"):
            keys[f"{part}.name"] = None
        for name in dict.fromkeys(names):
            settings = [each for each, own in zip(flattened, names, strict=True) if own == name]
            for key in dict.fromkeys(key for each in settings for key in each if not key.endswith(".label")):
                if len({each.get(key) for each in settings}) > 1:
                    keys[key] = None
    return tuple(keys)


def _of_part(config: Mapping[str, Any], part: str) -> dict[str, str]:
    """The settings of one part of a configuration, without seeds that follow the configuration's own."""
    settings = flat(config[part], part, into_lists=True)
    if settings.get("decoding.max_tokens") == flat(config.get("task") or {}).get("max_tokens", ""):
        settings.pop("decoding.max_tokens", None)  # it follows the task
    return settings if part == "seed" else unseeded({**settings, **flat(config.get("seed"), "seed")})


def variant(config: Mapping[str, Any], keys: Sequence[str]) -> dict[str, str]:
    """Those of `keys` that `config` has, under names as short as can be told apart, with their values.

    That a model has no adapter is not told.
    """
    settings = flat(config, into_lists=True)
    short = _short(keys)
    shown = [key for key in keys if key in settings and (key, settings[key]) != ("model.adapter", "null")]
    return {short[key]: _shown(key, settings[key]) for key in shown}


def in_words(settings: Mapping[str, str]) -> str:
    """`depth 0.3, seed 1`."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def fitting(name: str) -> str:
    """As much of a folder's name as file systems take, with room for a hash and for what is put beside it."""
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")


def for_folder(settings: Mapping[str, str]) -> str:
    """`depth0.3-seed1`: letters, digits, dots and lines only, 60 at most."""
    parts = (re.sub(r"[^A-Za-z0-9.]+", "_", f"{key}{value}").strip("._") for key, value in settings.items())
    return "-".join(part for part in parts if part)[:60].rstrip("._-")


def _short(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key where no other key ends in it, else all but the first."""
    plain = {key: key.removesuffix(".name").removesuffix("._target_") for key in keys}
    last = {key: _last(text) for key, text in plain.items()}
    times = Counter(last.values())
    return {
        key: last[key] if times[last[key]] == 1 else text.removeprefix("method.interventions.").removeprefix("method.")
        for key, text in plain.items()
    }


def _last(key: str) -> str:
    *before, last = key.split(".")
    return ".".join([*before[-1:], last]) if last.isdigit() or last == "seed" else last


def _shown(key: str, value: str) -> str:
    if key.endswith("._target_"):
        value = value.rpartition(".")[2]
    if key == "model.adapter":
        value = value.rstrip("/").rpartition("/")[2]
    value = " ".join(value.split())
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
