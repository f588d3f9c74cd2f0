"""From messages to tokens and back, with the model's own chat template."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from mindgap.backends.local.template import settings_of, template_of
from mindgap.backends.local.turns import FORMS, Form, as_data, left_out, markers
from mindgap.core.errors import PromptError
from mindgap.core.records import Message

log = logging.getLogger(__name__)

VERSION = 1
"""Part of the content keys of models whose prompts are not simply what the template makes of the messages. Raise it
when such prompts change."""


class Chat:
    """How a model is spoken to: through its chat template, or in plain labelled turns where it has none.

    Whatever is said has to stand in the prompt. A template that leaves out or refuses system messages (those of Phi-3
    and Gemma, say) gets their text at the head of the next user message; one that wants contents in parts gets parts.
    How a template takes a conversation is found out by the prompt that it makes of one, once for every order of roles.

    Args:
        tokenizer: The model's.
        settings: Given to the template beside the messages: `model.template`.

    Attributes:
        template: The template's text; None where there is none.
        settings: Likewise, with thinking turned off where the template knows how and nothing else was asked for.

    Raises:
        ConfigError: For a setting that the template does not know.
    """

    def __init__(self, tokenizer: Any, settings: Mapping[str, Any] | None = None) -> None:
        self.tokenizer = tokenizer
        self.template = template_of(tokenizer)
        self.settings = settings_of(self.template, settings or {})
        self._forms: dict[tuple[str, ...], Form] = {}
        self._said: set[str] = set()

    @cached_property
    def identity(self) -> str:
        """What the prompt depends on beside messages and tokenizer; empty where it is what the template makes alone."""
        settings = json.dumps(self.settings, sort_keys=True) if self.settings else ""
        return "" if self._ordinary and not settings else f"/chat{VERSION}{settings}"

    @property
    def _ordinary(self) -> bool:
        """Whether a prompt is what the template makes of the messages as they are."""
        try:
            return self.template is not None and self._form(("system", "user")) == FORMS[0]
        except PromptError:
            return False

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt as text, up to where the assistant's reply begins.

        Raises:
            PromptError: The template does not take these messages, or leaves out what one of them says.
        """
        if self.template is None:
            turns = "".join(f"{message.role.capitalize()}: {message.content}\n\n" for message in messages)
            return f"{turns}Assistant:"
        form = self._form(tuple(message.role for message in messages))
        try:
            prompt = self._apply(form, messages)
        except _template_errors() as error:
            raise PromptError(
                f"the model's chat template does not take these messages: {_first_line(error)}"
            ) from error
        if (message := left_out(prompt, messages)) is not None:
            raise PromptError(
                f"the model's chat template leaves out or changes the {message.role} message "
                f"{message.content[:60]!r}: what the model would read is not what was asked"
            )
        return prompt

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of `render`. Raises PromptError likewise."""
        ids = self.encode(self.render(messages))
        if self.template is None and self.tokenizer.bos_token_id is not None:
            ids = [self.tokenizer.bos_token_id, *ids]
        return ids

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text; the template has put special tokens in, the tokenizer adds none."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _form(self, roles: tuple[str, ...]) -> Form:
        """The form in which the template lets all messages of a conversation of these roles through."""
        if roles in self._forms:
            return self._forms[roles]
        reasons: list[str] = []
        for form in FORMS:
            try:
                prompt = self._apply(form, markers(roles))
            except _template_errors() as error:
                reasons.append(_first_line(error))
                continue
            message = left_out(prompt, markers(roles))
            if message is not None:
                reasons.append(f"it leaves out {message.role} messages")
            elif not (form.parts and as_data(prompt, markers(roles))):
                if form.merged:
                    self._say(
                        "the model's chat template takes no system messages here "
                        f"({reasons[0]}): their text is put at the head of the user's message"
                    )
                self._forms[roles] = form
                return form
        spoken = ", ".join(roles) or "no messages"
        raise PromptError(f"the model's chat template does not take a conversation of {spoken}: {reasons[0]}")

    def _apply(self, form: Form, messages: Sequence[Message]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            form.turns(messages), tokenize=False, add_generation_prompt=True, **self.settings
        )
        return text

    def _say(self, text: str) -> None:
        """Warn once."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)


def _template_errors() -> tuple[type[Exception], ...]:
    """What rendering raises where a template refuses its messages, or stumbles over their form."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError, LookupError, AttributeError)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
