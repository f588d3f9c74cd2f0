"""Put a table into a page, between its markers `<!-- NAME:begin -->` and `<!-- NAME:end -->`.

    python benchmarks/into_docs.py docs/performance.md NAME TABLE.txt

What stood between the markers is replaced, nothing else is touched, and the page is written whole or not at all.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mindgap.storage.atomic import replacing


def with_table(page: str, name: str, table: str) -> str:
    """The page with `table`, as preformatted text, between the markers of `name`.

    Raises:
        ValueError: The page has not exactly one such pair of markers, or the table is empty.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if not table.strip():
        raise ValueError("the table is empty")
    before, *after_begin = page.split(begin)
    if len(after_begin) != 1 or page.count(end) != 1 or end not in after_begin[0]:
        raise ValueError(f"it needs {begin} and, after it, {end}, once each")
    after = after_begin[0].split(end)[1]
    return f"{before}{begin}\n```\n{table.strip(chr(10))}\n```\n{end}{after}"


def main() -> None:
    path, name, table = sys.argv[1:]
    page = Path(path).read_bytes().decode()
    try:
        page = with_table(page, name, Path(table).read_text(encoding="utf-8"))
    except ValueError as error:
        raise SystemExit(f"{path} is as it was: {error}") from error
    with replacing(Path(path)) as unfinished:
        unfinished.write_bytes(page.encode())


if __name__ == "__main__":
    main()
