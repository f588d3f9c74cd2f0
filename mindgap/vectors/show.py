"""What a file of steering vectors holds, for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindgap.core.build import build
from mindgap.steering.vector_formats import VectorSet, read_vectors
from mindgap.steering.vector_source import VectorFile
from mindgap.steering.vectors import reference_norm

if TYPE_CHECKING:
    from rich.console import Group


def shown(path: Path, config: Mapping[str, Any] | None) -> Group:
    """Each block's vector, what number, sign and unit mean, and the receipt.

    Args:
        path: The file.
        config: A composed configuration that names a model, for relative doses; None = without.

    Raises:
        ConfigError: The file cannot be read, or is not for this model.
        UnavailableError: The model cannot be opened here.
    """
    from rich.console import Group
    from rich.table import Table

    found = read_vectors(path)
    doses = _doses(path, found, config) if config else {}
    table = Table(box=None, title=f"{path}: {found.form}", title_justify="left")
    for heading in ("block", "width", "norm", *(["relative dose"] if doses else [])):
        table.add_column(heading, justify="right")
    rows = found.by_layer if found.rows is None else dict(enumerate(found.rows))
    single = found.rows is not None and len(found.rows) == 1
    for number, vector in rows.items():
        dose = [f"{doses[number]:.3g}" if number in doses else ""] if doses else []
        table.add_row("any" if single else str(number), str(len(vector)), f"{np.linalg.norm(vector):.4g}", *dose)
    said = [
        "Number: n is the output of block n, the first being 0 (numbering=hidden_states: of block n - 1).",
        "Sign: factor 1 adds the vector as it stands, -1 takes it away. Which way is which says whoever made it.",
        "Unit: that of the residual stream. Relative dose is the norm over the residual stream's median norm there"
        + ("." if doses else ": give model=…"),
    ]
    if single:
        said.append("The file does not say which block its vector is for: set layers=[N] where it is used.")
    receipt = json.dumps(found.receipt, indent=1, ensure_ascii=False) if found.receipt else "no receipt"
    return Group(table, "", *said, "", receipt)


def _doses(path: Path, found: VectorSet, config: Mapping[str, Any]) -> dict[int, float]:
    from mindgap.backends.base import Backend
    from mindgap.core.model import ModelSpec
    from mindgap.vectors.bench import opened_model

    model: ModelSpec = build(config["model"], "model", ModelSpec)
    backend: Backend = build(config["backend"], "backend", Backend)
    with opened_model(model, backend, VectorFile.needs, 0) as bench:
        if found.rows is not None and len(found.rows) == 1:
            return {}
        by_layer = VectorFile(str(path)).by_layer(found, bench.layers)
        shift = 0 if found.rows is None else len(found.rows) - bench.layers
        return {
            layer + shift: float(np.linalg.norm(vector)) / reference_norm(bench, layer)
            for layer, vector in by_layer.items()
            if 0 <= layer < bench.layers
        }
