"""What is secret, and text without it: for configurations, messages, logs, and whatever else leaves this process.

A value is masked if its key is called like a secret (`api_key`, `hf_token`, `password` …), if it has the shape of a
well-known kind of key, where a URL carries a user's password or a key, and wherever a known secret stands in a text,
in any of the ways that URLs, JSON and HTML write its characters. Known are the values of environment variables that
are called like secrets or that a `key_env` names, what settings called like secrets hold, and what the URLs in either
carry.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any
from urllib.parse import unquote

MASK = "***"

_SHORTEST = 6
"""Known secrets shorter than this are left alone inside text: they would match by accident."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAMES_A_SECRET = re.compile(r"^(api)?(key|token)$|^apikeys$|^auth(orization)?$")
_IS_A_SECRET = re.compile(r"secrets?$|passw(or)?ds?$|^pwd$|passphrase$|^credentials?$|^sig(nature)?$")
_POINTS_TO_ONE = frozenset({"env", "name", "file", "path", "variable", "id"})

_URL_PASSWORD = re.compile(r"(?<=://)([^/\s@:]*:[^/\s]+)(?=@)")
_URL_PARAMETER = re.compile(r"""(?<=[?&;])([\w.-]+)=([^&\s#"'<>]+)""")
_WELL_KNOWN = re.compile(
    r"\b(?:sk-|hf_|gh[oprsu]_|github_pat_|glpat-|xox[abp]-|AKIA|AIza|wandb_v\d_)[\w-]{12,}"
    r"|(?:(?<=\bBearer )|(?<=\bBasic ))[\w.~+/=-]{8,}"
)

_variables: set[str] = set()
"""Environment variables that settings name as the place of a key."""
_settings: set[str] = set()
"""What settings called like secrets have held in this process."""


def learn(config: Any, *, named: bool = False) -> None:
    """Take note of the secrets in settings, so that no text of this process shows them.

    Args:
        config: Plain mappings, lists and values.
        named: Whether the key above already says that it is a secret.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            if str(key).endswith("key_env") and isinstance(value, str):
                _variables.add(value)
            learn(value, named=named or looks_secret(str(key)))
    elif isinstance(config, list | tuple):
        for value in config:
            learn(value, named=named)
    elif isinstance(config, str):
        _settings.update(_carried(config))
        if named:
            _settings.add(config)


def mask_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `config`, of plain dicts and lists, with every secret replaced by `MASK`.

    Masking twice changes nothing more. The environment is read at the time of the call.
    """
    known = _known()
    return {key: _masked(value, known, named=looks_secret(str(key))) for key, value in config.items()}


def mask_text(text: str) -> str:
    """`text` without the secrets that it contains; what is around them stays."""
    return _mask(text, _known())


def _mask(text: str, known: re.Pattern[str] | None) -> str:
    if known is not None:
        text = known.sub(MASK, text)
    text = _URL_PASSWORD.sub(MASK, text)
    text = _URL_PARAMETER.sub(lambda found: f"{found[1]}={MASK}" if looks_secret(found[1]) else found[0], text)
    return _WELL_KNOWN.sub(MASK, text)


def mask_argument(argument: str) -> str:
    """A word of a command line without secrets: of `api_key=…` all that the key is given."""
    key, given, _ = argument.partition("=")
    return f"{key}={MASK}" if given and looks_secret(key.rpartition(".")[2]) else mask_text(argument)


def excerpt(text: str, longest: int) -> str:
    """The beginning of somebody else's text, masked before it is cut: half a secret is not known again.

    Args:
        text: Of any length.
        longest: Characters that are kept, and an ellipsis.
    """
    masked = mask_text(text[: 4096 + 8 * longest])
    return masked if len(masked) <= longest else f"{masked[:longest]}…"


@cache
def looks_secret(name: str) -> bool:
    """Whether a key or environment variable called `name` holds a secret.

    `api_key`, `HF_TOKEN` and `dbPassword` do; `max_tokens`, `api_key_env` and `secret_file` do not.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _POINTS_TO_ONE:
        return False
    plural_key = words[-2:] == ["api", "keys"]
    return plural_key or bool(_NAMES_A_SECRET.match(words[-1])) or any(_IS_A_SECRET.search(word) for word in words)


def _masked(value: Any, known: re.Pattern[str] | None, *, named: bool) -> Any:
    """`value` masked; `named`: the key above it already says that it is a secret."""
    if isinstance(value, Mapping):
        return {key: _masked(inner, known, named=named or looks_secret(str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(element, known, named=named) for element in value]
    if named and value is not None and not isinstance(value, bool) and value != "":
        return MASK
    return _mask(value, known) if isinstance(value, str) else value


def _carried(text: str) -> Iterator[str]:
    """The secrets in the URLs of a text, also as they are without percent signs."""
    found = [given for _, _, given in (user[1].partition(":") for user in _URL_PASSWORD.finditer(text))]
    found += [given[2] for given in _URL_PARAMETER.finditer(text) if looks_secret(given[1])]
    for secret in found:
        yield from {secret, unquote(secret)}


def _known() -> re.Pattern[str] | None:
    """Whatever is known to be secret now, as a pattern; None where nothing is."""
    secrets = set(_settings)
    for name, value in os.environ.items():
        if name in _variables or (looks_secret(name) and name not in ("PWD", "OLDPWD")):  # these are folders
            secrets.add(value)
        if "://" in value:
            secrets.update(_carried(value))
    return _pattern(frozenset(secret for secret in secrets if len(secret) >= _SHORTEST and secret != MASK))


@lru_cache(16)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """Longest first, so that one inside another does not hide it."""
    longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join("".join(map(_written, secret)) for secret in longest_first)) if secrets else None


@cache
def _written(character: str) -> str:
    """A pattern of a character: itself, percent-encoded once or more, escaped as in JSON, or an entity of HTML."""
    code = ord(character)
    percent = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in character.encode("utf-8", "surrogatepass"))
    in_json = rf"\\{{1,4}}u(?i:{code:04x})"
    forms = [rf"\\{{0,4}}{re.escape(character)}", percent, in_json, f"&#0*{code};", f"&#[xX]0*(?i:{code:x});"]
    if (named := html.escape(character)) != character:
        forms.append(named)
    if character == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"
