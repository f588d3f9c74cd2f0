"""Labels of features from a local export of Neuronpedia, which explains SAEs of many models."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.sae.catalogue import Catalogue
from mindgap.storage.json_lines import BadLineError, json_lines

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
NEEDED = ("index", "description")


def neuronpedia_labels(path: Path) -> dict[int, str]:
    """What each feature is said to be, by its index; of several explanations of one, the first.

    Read are files of JSON lines or of one JSON list, gzipped or not, whose entries have `index` and `description`, as
    Neuronpedia's explanation batches and its API's downloads have them; or a folder of such files.

    Raises:
        ConfigError: There is none, an entry is no explanation, or the entries explain several SAEs.
    """
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES)) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise ConfigError(f"labels={path}: there is no such file, or no {', '.join(SUFFIXES)} in the folder")
    labels: dict[int, str] = {}
    explained = set()
    for file in files:
        for where, entry in _entries(file):
            if not isinstance(entry, Mapping) or any(entry.get(key) in (None, "") for key in NEEDED):
                raise ConfigError(f"{where}: an explanation has {' and '.join(NEEDED)}")
            explained.add((entry.get("modelId"), entry.get("layer")))
            try:
                index = int(entry["index"])
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{where}: index={entry['index']!r} is no number of a feature") from error
            labels.setdefault(index, " ".join(str(entry["description"]).split()))
    if len(explained) > 1:
        named = ", ".join(sorted(f"{model}/{layer}" for model, layer in explained))
        raise ConfigError(f"labels={path} explains several SAEs ({named}): give the file of one")
    return labels


def with_neuronpedia(catalogue: Catalogue, labels: Mapping[int, str]) -> Catalogue:
    """`catalogue` under these labels; a feature that has none of them keeps its own.

    Raises ConfigError for labels of features that the SAE does not have.
    """
    if labels and not 0 <= min(labels) <= max(labels) < catalogue.features:
        raise ConfigError(f"labels name feature {max(labels)}; the SAE has features 0 to {catalogue.features - 1}")
    own, by = list(catalogue.labels), list(catalogue.table["labeller"].to_pylist())
    for index, label in labels.items():
        own[index], by[index] = label, "Neuronpedia"
    return catalogue.with_labels(own, catalogue.table["words"].to_pylist(), by)


def _entries(file: Path) -> Iterator[tuple[str, Any]]:
    """Each entry of a file, and where it stands, for messages."""
    try:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
        if text.lstrip().startswith("["):
            for number, entry in enumerate(json.loads(text), 1):
                yield f"{file}, entry {number}", entry
            return
        for number, entry in json_lines(text):
            yield f"{file}, line {number}", entry
    except BadLineError as error:
        raise ConfigError(f"labels={file}, line {error.number}: {error}") from error
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"labels={file} cannot be read: {error}") from error
