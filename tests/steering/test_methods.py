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


TALK = (MESSAGES[0], Message("user", "Hi"), Message("assistant", "Hello."), MESSAGES[1])


def test_in_a_conversation_the_instruction_joins_the_system_prompt_and_earlier_turns_stay() -> None:
    system, *turns = PROMPT.messages(TALK, QUERY)
    assert system.content == "Reply in <answer> tags.\n\nWhen answering, please be funny."
    assert tuple(turns) == TALK[1:]


def test_the_instruction_may_stand_at_the_end_of_the_last_user_message() -> None:
    method = Method("prompt", "Prompting", "When answering, please {query}.", instruction_in="user")
    *before, asked = method.messages(TALK, QUERY)
    assert tuple(before) == TALK[:3]
    assert asked == Message("user", "2 + 2?\n\nWhen answering, please be funny.")
    assert method.messages(TALK, QUERY, replace=True) == (*TALK[1:3], asked)
    assert method.messages(TALK[:1], QUERY) == (TALK[0], Message("user", "When answering, please be funny."))


def test_control_leaves_messages_as_they_are() -> None:
    assert Method("control", "Control").messages(MESSAGES, QUERY) == MESSAGES


def test_braces_in_a_query_are_text() -> None:
    assert "{0} {query}" in PROMPT.messages(MESSAGES, Query("write {0} {query}", ""))[0].content


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "method.name"),
        ({"instruction": "Be funny."}, "{query}"),
        ({"instruction_in": "head"}, "choose system or user"),
    ],
)
def test_a_method_that_cannot_work_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Method(**{"name": "x", "label": "X", **arguments})
