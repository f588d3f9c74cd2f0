"""Short names for what a recording calls in its own way: never one name for two things."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mindgap.core.keys import content_key

_OTHER = re.compile(r"(?:(?!(?<!\w)[-+](?=\.?\d)|(?<=\d)\.(?=\d))\W)+")
"""Runs of anything but letters, digits, the sign before a number and the point inside one."""


def plain_name(text: str) -> str:
    """`text` as a short name for folders and tables: lower case, everything but letters and numbers as `_`.

    Two texts may come to one name: `plain_names` tells those of a recording apart.
    """
    return _OTHER.sub("_", text.strip().lower()).strip("_") or "unnamed"


def plain_names(texts: Iterable[str]) -> dict[str, str]:
    """`plain_name` of each text. Those that would be called alike get a hash of their own text behind."""
    plain = {text: plain_name(text) for text in texts}
    taken = Counter(plain.values())
    return {
        text: name if taken[name] == 1 else f"{name}-{content_key('recorded name', text=text)[:6]}"
        for text, name in plain.items()
    }
