"""Opens a recording's file, compressed or not, and says which kind of table it holds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from mindgap.core.errors import ConfigError

KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".eval")
RECORDING_FORMATS = ".csv, .tsv, .jsonl, .json (each also .gz, .bz2, .xz or .zst), .parquet or Inspect's .eval"


def _zst(data: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())


_DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": _zst,
}


def kind_of(name: str) -> str:
    """The suffix that says what a file holds, in small letters, the compression aside; may be none of `KINDS`."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    if len(suffixes) > 1 and suffixes[-1] in _DECOMPRESS:
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def contents(path: Path) -> bytes:
    """The file's bytes, decompressed.

    Raises:
        ConfigError: It is not compressed as its name says.
    """
    data = path.read_bytes()
    decompress = _DECOMPRESS.get(path.suffix.lower())
    if decompress is None:
        return data
    try:
        return decompress(data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ConfigError(f"{path} cannot be read as {path.suffix}: {error}") from error
