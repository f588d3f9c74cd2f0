"""What a specification asks for: towards a behaviour, or away from one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mindgap.core.errors import ConfigError

_AWAY = re.compile(
    r"^(?:please\s+)?(?:(?:do\s+not|don['’]?t|never|avoid|stop|no\s+longer|not)\s+|be\s+(?:not|never|less|anything\s+but)\s+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Specification:
    """behaviour: the behaviour named, worded as something to do ("be funny"). towards: False to steer away from it."""

    behaviour: str
    towards: bool


def parse(text: str) -> Specification:
    """Read a specification. "don't be funny", "be less funny" and "stop being funny" steer away from "be funny".

    Raises ConfigError for an empty one, and for one that asks for a behaviour and its absence ("be funny and not
    funny").
    """
    plain = " ".join(text.split()).strip(" .!")
    if not plain:
        raise ConfigError("Auto Steer needs a specification: say which behaviour is wanted, for example 'be funny'")
    whole = _one(plain)
    parts = [_one(part) for part in re.split(r"\s+(?:and|but|yet)\s+|\s*[,;]\s*", plain) if part.strip()]
    wanted = {_core(part.behaviour) for part in parts if part.towards}
    unwanted = {_core(part.behaviour) for part in parts if not part.towards}
    if both := sorted(wanted & unwanted):
        raise ConfigError(f"Auto Steer cannot follow {text!r}: it asks for {both[0]!r} and against it. Leave one out")
    return whole


def _one(text: str) -> Specification:
    away = False
    while match := _AWAY.match(text):
        said, text = match.group(0).split()[0].casefold(), text[match.end() :]
        being = re.match(r"being\s+", text, re.IGNORECASE)
        if said == "be" or being:
            text = "be " + text[being.end() if being else 0 :]
        elif said in ("avoid", "stop"):  # "avoid jokes", "stop telling jokes": something to do again
            text = f"go in for {text}"
        away = not away
    return Specification(text, not away)


def _core(behaviour: str) -> str:
    return re.sub(r"^be\s+", "", behaviour.casefold())
