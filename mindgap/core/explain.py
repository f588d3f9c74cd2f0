"""Turns what Hydra and YAML raise over a user's mistake into one short message."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from mindgap.core.errors import MindgapError, first_line
from mindgap.core.secrets import excerpt, learn, looks_secret, mask_argument, mask_text

UserMistake = (MindgapError, HydraException, OmegaConfBaseException, YAMLError)
"""What may be raised over a setting or a file before anything runs."""
Composing = (*UserMistake, ValueError, TypeError, AttributeError, LookupError, OSError, RecursionError)
"""What Hydra and YAML may raise over what they are given to compose; anywhere else these may be faults of ours."""

LONGEST = 300
"""Characters of somebody else's message that are shown."""


def explain(error: Exception, conf: Path) -> str:
    """What is wrong, where, and what would work: a line or two, without secrets.

    Args:
        error: One of `UserMistake`, or of `Composing` where it is known that nothing but composing went on.
        conf: The built-in configuration, whose groups and settings are suggested.
    """
    return mask_text(_explained(error, conf))


def _explained(error: Exception, conf: Path) -> str:
    cause = error.__cause__
    if isinstance(error, MarkedYAMLError):
        return _yaml(error)
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, OverrideParseException):
        key, _, given = str(error.override).partition("=")
        learn(given, named=looks_secret(key))  # what Hydra says quotes it
        return f"{mask_argument(str(error.override))}: cannot be read as key=value ({first_line(error)})"
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        return _omegaconf(cause, conf)
    if isinstance(error, ConfigCompositionException):
        return _composition(error, conf)
    if isinstance(error, OmegaConfBaseException):
        return _omegaconf(error, conf)
    if isinstance(error, MindgapError):
        return str(error)
    return _unforeseen(error)


def _yaml(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{mark.name}, line {mark.line + 1}: " if mark else ""
    return f"{where}this YAML cannot be read: {error.problem or error.context}"


def _unforeseen(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"a YAML file is not in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
    if isinstance(error, RecursionError):
        return "a YAML file names itself, in its defaults or by an alias, or is nested too deeply to be read"
    if isinstance(error, YAMLError):
        return f"a YAML file cannot be read: {excerpt(' '.join(str(error).split()), LONGEST)}"
    return f"the settings cannot be composed: {type(error).__name__}, {first_line(error, LONGEST)}"


def _missing(error: MissingConfigException) -> str:
    wanted = error.missing_cfg_file or ""
    group, _, name = wanted.rpartition("/")
    options = list(error.options or [])
    if not options:
        return first_line(error)
    return f"{group}={name}: there is no such option. {nearest(name, options)}"


def _composition(error: ConfigCompositionException, conf: Path) -> str:
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match.group(1)
        return f"{key}: there is no such setting. {nearest(key, _top_level(conf))}"
    if text.startswith("Ambiguous value"):
        return f"{first_line(error)}: several values make a sweep, add -m"
    return first_line(error)


def _omegaconf(error: OmegaConfBaseException, conf: Path) -> str:
    key = getattr(error, "full_key", None)
    if isinstance(error, ConfigKeyError) or "is not in struct" in str(error):
        siblings = list(error.parent_node) if error.parent_node is not None else []
        parent, dot, own = str(key).rpartition(".")
        known = [str(sibling) for sibling in siblings if sibling != "_target_"]
        if elsewhere := _options_with(parent, own, conf):
            return f"{key}: the {parent} chosen here has no such setting; {elsewhere} has"
        if not known and dot:
            return f"{key}: {parent} holds no settings to change; give all that it is to hold: '{parent}={{{own}: …}}'"
        return f"{key}: there is no such setting. {nearest(own, known, prefix=parent + dot)}"
    return f"{key}: {first_line(error)}" if key else first_line(error)


def _options_with(group: str, name: str, conf: Path) -> str:
    """The options of `group` whose YAML has a setting `name`, as they are chosen; empty where there is none."""
    options = [path for path in sorted((conf / group).glob("*.yaml")) if group.isidentifier()]
    has = [path.stem for path in options if re.search(rf"^{re.escape(name)}:", path.read_text("utf-8"), re.MULTILINE)]
    return " or ".join(f"{group}={option}" for option in has[:3])


def _top_level(conf: Path) -> list[str]:
    """Every group and setting that `config.yaml` names."""
    text = (conf / "config.yaml").read_text(encoding="utf-8")
    groups = re.findall(r"^  - (?:optional )?([a-z]\w*):", text, re.MULTILINE)
    settings = re.findall(r"^([a-z]\w*):", text, re.MULTILINE)
    return [*groups, *(name for name in settings if name not in ("defaults", "hydra"))]


def nearest(name: str, options: list[str], prefix: str = "") -> str:
    """The option that may have been meant, and all there are."""
    near = difflib.get_close_matches(name, options, n=1)
    listed = f"There are: {', '.join(sorted(options))}"
    return f"Did you mean {prefix}{near[0]}? {listed}" if near else listed
