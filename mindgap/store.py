"""`python -m mindgap.store`: look whether a store is whole, put stores together, take out what is damaged."""

from __future__ import annotations

import sys
from pathlib import Path

from mindgap.cli.command import command

HELP = """\
mindgap.store: care of the file that holds all generations, judgements and measured arrays

usage: python -m mindgap.store check FILE            what it holds, and whether all of it can be read
       python -m mindgap.store merge INTO FILE ...   put the records of other stores into one; INTO may be new
       python -m mindgap.store prune FILE [KIND ...] remove damaged records and those of a kind, and make the file small

  FILE    a store, for example outputs/store.sqlite
  KIND    completion, options, judgement or array

`check` changes nothing. `merge` reads what can be read of a damaged store, so it is also the way to save one; what INTO
holds already stays as it is. What `prune` removes is made again when a study asks for it. Exit codes: 0 done and whole,
1 something is damaged, 2 there is no such store."""

KINDS = ("completion", "options", "judgement", "array")


def main(arguments: list[str] | None = None) -> int:
    """See HELP for the exit codes."""
    return command(arguments, _run, text=HELP, stopped="stopped. The store is as it was, or as it was to be.")


def _run(words: list[str]) -> int:
    from mindgap.core.errors import ConfigError

    verb, *rest = words
    if verb == "check" and len(rest) == 1:
        return _check(Path(rest[0]))
    if verb == "merge" and len(rest) >= 2:
        return _merge(Path(rest[0]), [Path(name) for name in rest[1:]])
    if verb == "prune" and rest:
        if unknown := [kind for kind in rest[1:] if kind not in KINDS]:
            raise ConfigError(f"{unknown[0]}: there is no such kind of record. There are: {', '.join(KINDS)}")
        return _prune(Path(rest[0]), rest[1:])
    raise ConfigError(f"{' '.join(words)}: see python -m mindgap.store --help")


def _check(path: Path) -> int:
    from mindgap.storage.care import condition

    found = condition(path)
    held = ", ".join(f"{count} {kind}" for kind, count in sorted(found.records.items())) or "nothing"
    _say(f"{path}: {held}; {found.megabytes:.1f} MB")
    if found.damaged:
        lost = ", ".join(f"{count} {kind}" for kind, count in sorted(found.damaged.items()))
        _say(f"damaged: {lost}. A study makes them anew; `python -m mindgap.store prune {path}` removes them")
    if found.fault:
        _say(f"the file is damaged ({found.fault}): `python -m mindgap.store merge NEW {path}` saves what can be read")
    return 0 if found.whole else 1


def _merge(into: Path, sources: list[Path]) -> int:
    from mindgap.storage.care import merge

    added, faults = merge(into, sources)
    _say(f"{into}: {added} new records")
    for fault in dict.fromkeys(faults):
        _say(f"not all could be read: {fault}")
    return 1 if faults else 0


def _prune(path: Path, kinds: list[str]) -> int:
    from mindgap.storage.care import prune

    _say(f"{path}: {prune(path, kinds)} records removed, {path.stat().st_size / 1e6:.1f} MB left")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
