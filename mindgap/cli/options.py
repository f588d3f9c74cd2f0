"""`python -m mindgap ls GROUP`: the options of a group, a line each, as the comments of their YAML files say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mindgap.cli.help import GROUPS
from mindgap.core.errors import ConfigError, did_you_mean

PLURALS = {
    "queries": "query_set",
    "query_sets": "query_set",
    "strengths": "strength",
    "measure": "measures",
    **{f"{group}s": group for group in ("model", "method", "task", "judge", "backend", "tracker", "experiment")},
}


def listing(words: Sequence[str], folders: Sequence[Path]) -> str:
    """The options of the groups that `words` name; of all where they name none.

    Args:
        words: Groups, in the singular or the plural.
        folders: Configurations: mindgap's own, and those of the user's.

    Raises:
        ConfigError: There is no such group, with a did-you-mean.
    """
    groups = [_group(word) for word in words] or list(GROUPS)
    parts = []
    for group in groups:
        options = {path.stem: path for folder in folders for path in sorted((folder / group).glob("*.yaml"))}
        width = max((len(name) for name in options), default=0)
        lines = [f"{group}: {GROUPS[group]}", *(f"  {name:{width}}  {_says(path)}" for name, path in options.items())]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _group(word: str) -> str:
    group = PLURALS.get(word, word)
    if group not in GROUPS:
        raise ConfigError(f"ls {word}: there is no such group. {did_you_mean(word, [*GROUPS, *PLURALS], GROUPS)}")
    return group


def _says(path: Path) -> str:
    """The first sentence of the comment that a YAML file begins with; else its label or name."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    comment: list[str] = []
    for line in lines:
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    if comment:
        return re.split(r"(?<=[.:?])\s", " ".join(comment), maxsplit=1)[0].rstrip(":.")
    named = next((line for line in lines if line.startswith(("label:", "name:"))), "")
    return named.partition(":")[2].partition("#")[0].strip()
