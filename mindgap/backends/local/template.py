"""A chat template as a text: which settings it knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mindgap.backends.local.files import json_in
from mindgap.core.errors import ConfigError, UnavailableError

THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Names that templates give to the setting by which a model thinks before it replies, or does not."""

_FILLED_IN = frozenset({"messages", "tools", "documents", "add_generation_prompt", "raise_exception", "strftime_now"})
"""What transformers gives a template beside special tokens."""


def template_of(tokenizer: Any) -> str | None:
    """The template for conversations; a tokenizer may have several, for other uses too, or none.

    Raises:
        UnavailableError: The tokenizer is of a kind that has something else in the place of templates.
    """
    if not hasattr(tokenizer, "chat_template"):
        raise UnavailableError(
            f"the model's tokenizer ({type(tokenizer).__name__}) keeps no chat template that could be looked at; "
            "transformers takes the usual one where the package mistral-common is not installed"
        )
    templates = tokenizer.chat_template
    if isinstance(templates, dict):
        templates = templates.get("default")
    return templates or None


def settings_of(template: str | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is given beside the messages: `asked`, and thinking turned off where it can be.

    Args:
        template: Its text; None where the model has none.
        asked: `model.template`.

    Raises:
        ConfigError: For a setting that the template does not know.
    """
    known = known_settings(template) if template is not None else frozenset()
    for name in asked:
        if name not in known:
            has = "the model has no chat template" if template is None else _listed(known)
            raise ConfigError(f"model.template.{name}: the model's chat template has no such setting; {has}")
    off = {name: False for name in THINKING_SWITCHES if name in known}
    return {**({} if off.keys() & asked.keys() else off), **asked}


def settings_lack(asked: Mapping[str, Any] | None, folder: Path) -> list[str]:
    """Settings that the template in a model's folder does not know, for `Backend.lacks`; it loads no tokenizer.

    A template that is kept elsewhere is asked when the model is opened.
    """
    if not asked:
        return []
    written = json_in(folder, "tokenizer_config.json").get("chat_template")
    if (folder / "chat_template.jinja").is_file():
        written = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    known = known_settings(written) if isinstance(written, str) else asked.keys()
    return [
        f"a setting {name} of its chat template (model.template); {_listed(known)}"
        for name in sorted(asked.keys() - known)
    ]


def known_settings(template: str) -> frozenset[str]:
    """Names that the template reads and that nobody but the user would set; none where it cannot be read."""
    from jinja2 import Environment, TemplateError, meta

    environment = Environment(extensions=["jinja2.ext.loopcontrols"])
    plain = re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", template)  # marks that transformers adds to the language
    try:
        names = meta.find_undeclared_variables(environment.parse(plain))
    except TemplateError:
        return frozenset()
    return frozenset(
        name for name in names - _FILLED_IN - environment.globals.keys() if not name.endswith(("_token", "_tokens"))
    )


def _listed(known: Iterable[str]) -> str:
    return f"it has {', '.join(sorted(known))}" if known else "it has none"
