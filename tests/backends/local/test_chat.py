"""Messages become exactly the tokens the model was trained on."""

from __future__ import annotations

import pytest

from mindgap.backends.local import chat
from mindgap.core.records import Message

SYSTEM, USER = Message("system", "Be kind."), Message("user", "Hi")


class Tokenizer:
    """Renders a template as transformers does; nothing else of a tokenizer is asked for."""

    def __init__(self, template: str | None) -> None:
        self.chat_template = template

    def apply_chat_template(self, turns, tokenize, add_generation_prompt):  # type: ignore[no-untyped-def]
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment = ImmutableSandboxedEnvironment()
        environment.globals["raise_exception"] = refuse
        return environment.from_string(self.chat_template).render(messages=turns)


def test_the_models_own_template_is_used(small_model) -> None:  # type: ignore[no-untyped-def]
    assert chat.render(small_model.tokenizer, [SYSTEM, USER]) == "<system>Be kind.</s><user>Hi</s><assistant>"


def test_a_template_that_refuses_system_messages_gets_the_text_in_the_first_turn() -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    )
    assert chat.render(Tokenizer(template), [SYSTEM, USER]) == "[user] Be kind.\n\nHi"


def test_a_template_that_fails_for_another_reason_is_not_papered_over() -> None:
    from jinja2 import TemplateError

    with pytest.raises(TemplateError):
        chat.render(Tokenizer("{{ raise_exception('never') }}"), [SYSTEM, USER])


def test_a_model_without_a_template_gets_labelled_turns() -> None:
    assert chat.render(Tokenizer(None), [SYSTEM, USER]) == "System: Be kind.\n\nUser: Hi\n\nAssistant:"
