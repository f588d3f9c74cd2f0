"""The same recording reads the same from every format; one that is damaged is refused, not half read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mindgap.core.errors import ConfigError
from mindgap.results.imports.table import read_table

ROWS = [
    {"text": 'Line one\r\nline "two", with a comma\n\nand 😀', "score": "4"},
    {"text": "", "score": "0"},
    {"text": "x" * 200_000, "score": "4.5"},
]


def csv_text(separator: str = ",") -> str:
    quoted = ['"' + row["text"].replace('"', '""') + '"' + separator + row["score"] for row in ROWS]
    return "\n".join([f"text{separator}score", *quoted]) + "\n"


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "CSV", "jsonl", "jsonl.gz", "parquet", "csv with a mark"])
def test_every_format_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"some.study.{kind.split()[0]}"
    lines = "\n".join(json.dumps({"text": row["text"], "score": float(row["score"])}) for row in ROWS) + "\n\n"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "score": float(row["score"])} for row in ROWS]), path)
    elif kind == "csv with a mark":
        path.write_bytes(b"\xef\xbb\xbf" + csv_text().encode())
    else:
        text = lines if "jsonl" in kind else csv_text("\t" if kind == "tsv" else ",")
        path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    table = read_table(path)
    assert table.columns == ("text", "score")
    assert [row["text"] for row in table.rows] == [row["text"] for row in ROWS]
    assert [float(str(row["score"])) for row in table.rows] == [4, 0, 4.5]


def test_absent_values_are_none_whatever_the_format_calls_them(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"a": 1, "b": null}\n{"a": NaN}\n')
    frame = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1.0, float("nan")], "b": pa.array([None, None], pa.string())}), frame)
    for path in (lines, frame):
        first, second = read_table(path).rows
        assert first["b"] is None
        assert second["a"] is None
        assert second.get("b") is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"a,b\n1,2\n3\n", "line 3: 1 fields where the header has 2"),
        ("a.csv", b"a,a\n1,2\n", "two columns are called 'a'"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b'a,b\n"1,2\n', "cannot be read"),
        ("a.csv", b"a,b\n\xff,2\n", "cannot be read as .csv in UTF-8"),
        ("a.csv.gz", b"a,b\n1,2\n", "cannot be read"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not JSON"),
        ("a.jsonl", b"[1, 2]\n", "line 1"),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", "line 1: not JSON"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "line 1: not JSON"),
        ("a.parquet", b"PAR1 no", "Parquet"),
        ("a.xlsx", b"", ".csv"),
        ("none.csv", None, "no such file"),
    ],
)
def test_what_cannot_be_read_is_refused_and_says_where(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_table(path)
    assert words in str(refused.value)
    assert name in str(refused.value)
