"""What is known of the features of one SAE: labels, how often, how strongly and where they are active, what they do.

A catalogue is one parquet file. It stays a table in memory, and a feature becomes an object when it is asked for: most
work needs a column or two of many features, or everything of a few.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindgap.core.errors import UnavailableError

if TYPE_CHECKING:
    import pyarrow as pa

    from mindgap.sae.sae import SAE

FORMAT = "mindgap-catalogue-1"
FILE = "catalogue.parquet"
STEPS = 255
"""Activations inside a context are kept as shares of its peak, in so many steps."""


@dataclass(frozen=True)
class Context:
    """A stretch of one text around the token where the feature is strongest in that text.

    Attributes:
        pieces: Its tokens as text.
        at: Index of the strongest one.
        activation: Of the strongest one.
        activations: At each piece.
    """

    pieces: tuple[str, ...]
    at: int
    activation: float
    activations: tuple[float, ...]


@dataclass(frozen=True)
class Manner:
    """How a feature answers to a manner asked for in the system prompt.

    Attributes:
        lift: Mean activation over replies under it / over all other replies.
        z: The difference in standard errors.
    """

    manner: str
    lift: float
    z: float


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        label: Phrase for people; empty for a feature that was never active.
        labeller: Who made it.
        words: What is typical of the places where it is active, best first.
        density: Share of tokens where it is active.
        scale: Typical maximum activation (`mindgap.sae.scale`).
        promoted: Tokens whose logits its direction raises most, of those in the texts.
        demoted: Tokens whose logits it lowers most.
        promotion: By how much it raises the first, in standard deviations over tokens.
        contexts: From different texts, strongest first.
        manners: Those under which it is clearly more active.
    """

    index: int
    label: str
    labeller: str
    words: tuple[str, ...]
    density: float
    scale: float
    promoted: tuple[str, ...]
    demoted: tuple[str, ...]
    promotion: float
    contexts: tuple[Context, ...]
    manners: tuple[Manner, ...]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The features of one SAE; row i of `table` is feature i (`schema` has the columns)."""

    table: pa.Table

    @property
    def features(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def about(self) -> dict[str, Any]:
        """sae: identity of the SAE. texts, tokens: how many were read to describe it."""
        about: dict[str, Any] = json.loads(self.table.schema.metadata[b"mindgap"])
        return about

    @property
    def sae(self) -> str:
        return str(self.about["sae"])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.table["label"].to_pylist())

    @cached_property
    def density(self) -> np.ndarray:
        """Share of tokens where each feature is active: float32 `[features]`."""
        return self._numbers("density")

    @cached_property
    def scale(self) -> np.ndarray:
        """Typical maximum activation of each feature, 0 where it was never active: float32 `[features]`."""
        return self._numbers("scale")

    @cached_property
    def live(self) -> np.ndarray:
        """Which features were active at all: bool `[features]`."""
        return self.density > 0

    @cached_property
    def identity(self) -> str:
        """Hash of everything that a search looks at."""
        digest = hashlib.sha256(json.dumps([self.sae, self.table["label"].to_pylist()]).encode())
        digest.update(json.dumps([self.table[name].to_pylist() for name in ("words", "promoted")]).encode())
        return digest.hexdigest()

    def feature(self, index: int) -> Feature:
        """Raises IndexError for an index that the SAE does not have."""
        if not 0 <= index < self.features:
            raise IndexError(f"the SAE has features 0 to {self.features - 1}, not {index}")
        return _feature(index, self._shown.slice(index, 1).to_pylist()[0])

    def each(self) -> Iterator[Feature]:
        """All features in order, a few hundred in memory at a time."""
        for start in range(0, self.features, 256):
            for place, row in enumerate(self._shown.slice(start, 256).to_pylist()):
                yield _feature(start + place, row)

    def embeddings(self, embedder: str) -> np.ndarray | None:
        """Unit vectors of the features' descriptions by that embedder, if kept: float32 `[features, width]`."""
        if self.about.get("embedder") != embedder:
            return None
        width = int(self.about["embedding_width"])
        kept = np.frombuffer(b"".join(self.table["embedding"].to_pylist()), dtype=np.int8)
        return kept.reshape(self.features, width).astype(np.float32) / np.float32(127)

    def with_embeddings(self, vectors: np.ndarray, embedder: str) -> Catalogue:
        """This catalogue with the unit vectors `[features, width]` that `embedder` gave, in steps of 1/127."""
        import pyarrow as pa

        rounded = np.rint(vectors * 127).astype(np.int8)
        about = {**self.about, "embedder": embedder, "embedding_width": vectors.shape[1]}
        column = pa.array([row.tobytes() for row in rounded], pa.binary())
        return self._with({"embedding": column}, about)

    def with_labels(self, labels: Sequence[str], words: Sequence[Sequence[str]], labellers: Sequence[str]) -> Catalogue:
        """This catalogue under other labels. Embeddings are dropped: they were those of the old ones."""
        import pyarrow as pa

        about = {key: value for key, value in self.about.items() if not key.startswith("embed")}
        columns = {
            "label": pa.array(labels, pa.string()),
            "labeller": pa.array(labellers, pa.string()),
            "words": pa.array(words, pa.list_(pa.string())),
            "embedding": pa.nulls(self.features, pa.binary()),
        }
        return self._with(columns, about)

    def with_scales(self, sae: SAE) -> SAE:
        """`sae` with the scales of this catalogue."""
        import torch

        return replace(sae, scale=torch.from_numpy(self.scale))

    def of(self, sae: str) -> Catalogue:
        """This catalogue for the SAE of that identity: the same weights, as they are called once they lie in a file."""
        return self._with({}, {**self.about, "sae": sae})

    def save(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        import pyarrow.parquet as pq

        from mindgap.storage.atomic import replacing

        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            pq.write_table(
                self.table, temporary, compression="zstd", compression_level=15, dictionary_pagesize_limit=2**23
            )

    @cached_property
    def _shown(self) -> pa.Table:
        return self.table.drop_columns(["embedding"])

    def _numbers(self, column: str) -> np.ndarray:
        return self.table[column].to_numpy().astype(np.float32)

    def _with(self, columns: dict[str, pa.Array], about: dict[str, Any]) -> Catalogue:
        table = self.table
        for name, column in columns.items():
            table = table.set_column(table.schema.get_field_index(name), name, column)
        return Catalogue(table.replace_schema_metadata(_metadata(about)))


def schema() -> pa.Schema:
    """Columns of a catalogue. In a context `at` is the index of the peak, and `activations` are shares of it."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    context = {"pieces": texts, "at": pa.uint16(), "activation": pa.float32(), "activations": pa.list_(pa.uint8())}
    manner = {"manner": pa.string(), "lift": pa.float32(), "z": pa.float32()}
    return pa.schema(
        {
            "label": pa.string(),
            "labeller": pa.string(),
            "words": texts,
            "density": pa.float32(),
            "scale": pa.float32(),
            "promoted": texts,
            "demoted": texts,
            "promotion": pa.float32(),
            "contexts": pa.list_(pa.struct(context)),
            "manners": pa.list_(pa.struct(manner)),
            "embedding": pa.binary(),
        }
    )


def build(rows: Sequence[dict[str, Any]], *, sae: str, texts: int, tokens: int) -> Catalogue:
    """A catalogue of `rows`, one a feature in order; without labels as yet."""
    import pyarrow as pa

    empty = {"label": "", "labeller": "", "words": []}
    about = {"format": FORMAT, "sae": sae, "texts": texts, "tokens": tokens}
    table = pa.Table.from_pylist([{**empty, **row} for row in rows], schema=schema())
    return Catalogue(table.replace_schema_metadata(_metadata(about)))


def load(path: Path) -> Catalogue:
    """The catalogue in `path`. Raises UnavailableError if it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {}).get(b"mindgap", b"{}"))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UnavailableError(f"{path} cannot be read as a catalogue of features: {error}") from error
    if about.get("format") != FORMAT:
        raise UnavailableError(f"{path} is not a catalogue of features of format {FORMAT}")
    return Catalogue(table)


def _metadata(about: dict[str, Any]) -> dict[bytes, bytes]:
    return {b"mindgap": json.dumps(about).encode()}


def _feature(index: int, row: dict[str, Any]) -> Feature:
    return Feature(
        index=index,
        label=row["label"],
        labeller=row["labeller"],
        words=tuple(row["words"]),
        density=row["density"],
        scale=row["scale"],
        promoted=tuple(row["promoted"]),
        demoted=tuple(row["demoted"]),
        promotion=row["promotion"],
        contexts=tuple(_context(context) for context in row["contexts"]),
        manners=tuple(Manner(**manner) for manner in row["manners"]),
    )


def _context(row: dict[str, Any]) -> Context:
    peak = row["activation"]
    shares = tuple(peak * share / STEPS for share in row["activations"])
    return Context(tuple(row["pieces"]), row["at"], peak, shares)
