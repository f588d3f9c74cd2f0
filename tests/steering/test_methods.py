"""Methods are pure, and an instruction joins the task's system prompt."""

from __future__ import annotations

import pytest

from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, Query
from mindgap.steering.methods import Method

QUERY = Query("be funny", "rubric")
MESSAGES = (Message("system", "Reply in <answer> tags."), Message("user", "2 + 2?"))
PROMPT = Method("prompt", "Prompting", "When answering, please {query}.")


def test_the_instruction_is_added_and_the_format_stays() -> None:
    system, user = PROMPT.messages(MESSAGES, QUERY)
    assert system.content == "Reply in <answer> tags.\n\nWhen answering, please be funny."
    assert user == MESSAGES[1]


def test_replace_puts_the_instruction_in_its_place() -> None:
    assert PROMPT.messages(MESSAGES, QUERY, replace=True)[0].content == "When answering, please be funny."


def test_without_a_system_prompt_the_instruction_becomes_one() -> None:
    assert PROMPT.messages(MESSAGES[1:], QUERY) == (Message("system", "When answering, please be funny."), MESSAGES[1])


def test_control_leaves_messages_as_they_are() -> None:
    assert Method("control", "Control").messages(MESSAGES, QUERY) == MESSAGES


def test_braces_in_a_query_are_text() -> None:
    assert "{0} {query}" in PROMPT.messages(MESSAGES, Query("write {0} {query}", ""))[0].content


@pytest.mark.parametrize(
    ("arguments", "words"), [({"name": ""}, "method.name"), ({"instruction": "Be funny."}, "{query}")]
)
def test_a_method_that_cannot_work_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Method(**{"name": "x", "label": "X", **arguments})
