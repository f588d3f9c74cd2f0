"""Keep secrets out of everything that is saved: configurations, error messages, what trackers receive.

A value is masked if its key is called like a secret (`api_key`, `hf_token`, `password` …), if it is or contains the
value of an environment variable that is called like one, if it has the shape of a well-known kind of key, and where a
URL carries a user's password or a key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mindgap.core.measurement import Value
from mindgap.core.records import Record
from mindgap.results.cell import CellResult

MASK = "***"
REASONS = ("error", "unparsed", "behaviour_missing", "coherence_missing", "perplexity_missing", "loglik_missing")
"""Fields of a record that hold what programs said."""

_SHORTEST = 6
"""Values of environment variables shorter than this are left alone inside text: they would match by accident."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAMES_A_SECRET = re.compile(r"^(api)?(key|token)$|^apikeys$|^auth(orization)?$")
_IS_A_SECRET = re.compile(r"secrets?$|passw(or)?ds?$|^pwd$|passphrase$|^credentials?$")
_POINTS_TO_ONE = frozenset({"env", "name", "file", "path", "variable", "id"})

_URL_PASSWORD = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)")
_URL_PARAMETER = re.compile(
    r"(?<=[?&])((?:[\w-]*[_-])?(?:key|apikey|token|secret|password|signature))=[^&\s#]+", re.IGNORECASE
)
_WELL_KNOWN = re.compile(
    r"\b(?:sk-|hf_|gh[oprsu]_|github_pat_|glpat-|xox[abp]-|AKIA|AIza|wandb_v\d_)[\w-]{12,}|(?<=\bBearer )[\w.~+/=-]{8,}"
)


def mask_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `config`, of plain dicts and lists, with every secret replaced by `MASK`.

    Masking twice changes nothing more. The environment is read at the time of the call.
    """
    secrets = _environment_secrets()
    return {key: _masked(value, secrets, named=looks_secret(str(key))) for key, value in config.items()}


def mask_text(text: str) -> str:
    """`text` without the secrets that it contains; what is around them stays."""
    return _masked_text(text, _environment_secrets())


def without_secrets(result: CellResult) -> CellResult:
    """`result` with its configuration masked, and whatever programs said when they failed: reasons, errors, notes.

    Prompts, responses and scores are the data, and stay as they are.
    """
    secrets = _environment_secrets()

    def clean(text: str) -> str:
        return _masked_text(text, secrets)

    return replace(
        result,
        config=mask_secrets(result.config),
        reason=None if result.reason is None else clean(result.reason),
        metrics={name: replace(estimate, note=clean(estimate.note)) for name, estimate in result.metrics.items()},
        records=tuple(_clean_record(record, secrets) for record in result.records),
    )


def looks_secret(name: str) -> bool:
    """Whether a key or environment variable called `name` holds a secret.

    `api_key`, `HF_TOKEN` and `dbPassword` do; `max_tokens`, `api_key_env` and `secret_file` do not.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _POINTS_TO_ONE:
        return False
    plural_key = words[-2:] == ["api", "keys"]
    return plural_key or bool(_NAMES_A_SECRET.match(words[-1])) or any(_IS_A_SECRET.search(word) for word in words)


def _environment_secrets() -> tuple[str, ...]:
    """Values of the secret environment variables, longest first so that one inside another does not hide it."""
    named = {name: value for name, value in os.environ.items() if looks_secret(name) and name != "PWD"}  # a folder
    values = {value for value in named.values() if len(value) >= _SHORTEST}
    return tuple(sorted(values, key=len, reverse=True))


def _masked(value: Any, secrets: Iterable[str], *, named: bool) -> Any:
    """`value` masked; `named`: the key above it already says that it is a secret."""
    if isinstance(value, Mapping):
        return {key: _masked(inner, secrets, named=named or looks_secret(str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(element, secrets, named=named) for element in value]
    if named and value is not None and not isinstance(value, bool) and value != "":
        return MASK
    return _masked_text(value, secrets) if isinstance(value, str) else value


def _masked_text(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = _URL_PASSWORD.sub(MASK, text)
    text = _URL_PARAMETER.sub(rf"\1={MASK}", text)
    return _WELL_KNOWN.sub(MASK, text)


def _clean_record(record: Record, secrets: tuple[str, ...]) -> Record:
    reasons = {name: text for name in REASONS if (text := getattr(record, name)) is not None}
    cleaned: dict[str, Any] = {name: _masked_text(text, secrets) for name, text in reasons.items()}
    measures = {name: _clean_value(value, secrets) for name, value in record.measures.items()}
    return replace(record, **cleaned, measures=measures)


def _clean_value(value: Value, secrets: tuple[str, ...]) -> Value:
    return value if value.missing is None else Value(None, _masked_text(value.missing, secrets))
