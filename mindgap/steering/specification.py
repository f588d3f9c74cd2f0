"""What a specification asks for: towards a behaviour, or away from one."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np

from mindgap.backends.fetch import option_scores
from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, OptionsRequest
from mindgap.steering.bench import SteeringBench
from mindgap.steering.opposites import opposite_words
from mindgap.steering.specific import behaviours_of_the_bank

_AWAY = re.compile(
    r"^(?:please\s+)?(?:(?:do\s+not|don['’]?t|never|avoid|stop|no\s+longer|not)\s+|be\s+(?:not|never|less|anything\s+but)\s+)",
    re.IGNORECASE,
)
_PARTS = re.compile(r"\s+(?:and|but|yet)\s+|\s*[,;]\s*")
_WORD = re.compile(r"[^\W\d_]{2,}")

WORD_ASKED = "Give me a word."
BEYOND = 1.1
"""A word is unknown whose log-likelihood is so many times that of the bank's least likely word, or worse.

On the embedded model that one ("skeptical") comes to -21 nats, "obsequious" to -23, "zorble" to -25, "blorptious" to
less than -30.
"""


@dataclass(frozen=True)
class Specification:
    """behaviour: the behaviour named, worded as something to do ("be funny"). towards: False to steer away from it."""

    behaviour: str
    towards: bool


def parse(text: str) -> tuple[Specification, ...]:
    """Read a specification. "don't be funny", "be less funny" and "stop being funny" steer away from "be funny".

    What asks for one thing and against another ("be funny, don't be formal") is read as its parts, else as a whole.

    Raises ConfigError for an empty one, and for one that contradicts itself: "be funny and not funny", "be cheerful and
    gloomy".
    """
    plain = " ".join(text.split()).strip(" .!")
    if not plain:
        raise ConfigError("Auto Steer needs a specification: say which behaviour is wanted, for example 'be funny'")
    parts = [_one(part) for part in _PARTS.split(plain) if part.strip()]
    wanted = {_core(part.behaviour) for part in parts if part.towards}
    unwanted = {_core(part.behaviour) for part in parts if not part.towards}
    if both := sorted(wanted & unwanted):
        raise ConfigError(f"Auto Steer cannot follow {text!r}: it asks for {both[0]!r} and against it. Leave one out")
    for one, other in itertools.combinations(parts, 2):
        if one.towards == other.towards and (opposite := opposite_words(one.behaviour, other.behaviour)):
            raise ConfigError(
                f"Auto Steer cannot follow {text!r}: {opposite[0]!r} and {opposite[1]!r} are opposites. Leave one out"
            )
    return tuple(parts) if wanted and unwanted else (_one(plain),)


def unknown_word(behaviour: str, bench: SteeringBench) -> str | None:
    """The word of a behaviour that the model knows least, if it does not know it; None if it knows them all."""
    words = _words(behaviour)
    if not words or "loglikelihood" not in bench.endpoint.can:
        return None
    known = _words(" ".join(behaviours_of_the_bank()))
    asked = [
        OptionsRequest(bench.endpoint.identity, (Message("user", WORD_ASKED),), tuple(some)) for some in (words, known)
    ]
    scores = option_scores(asked, bench.endpoint, bench.store)
    of_words, of_known = (scores[request.key].logprobs for request in asked)
    least = int(np.argmin(of_words))
    return words[least] if of_words[least] < BEYOND * min(of_known) else None


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word.casefold() for word in _WORD.findall(text)))


def _one(text: str) -> Specification:
    away = False
    while match := _AWAY.match(text):
        said, text = match.group(0).split()[0].casefold(), text[match.end() :]
        being = re.match(r"being\s+", text, re.IGNORECASE)
        if said == "be" or being:
            text = "be " + text[being.end() if being else 0 :]
        elif said in ("avoid", "stop"):  # "avoid jokes", "stop telling jokes": something to do again
            text = f"go in for {text}"
        elif said == "not" and not text.casefold().startswith("be "):  # "…, not funny"
            text = f"be {text}"
        away = not away
    return Specification(text, not away)


def _core(behaviour: str) -> str:
    return re.sub(r"^be\s+", "", behaviour.casefold())
