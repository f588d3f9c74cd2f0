"""What a specification asks for."""

from __future__ import annotations

import pytest

from mindgap.core.errors import ConfigError
from mindgap.steering.specification import Specification, parse


@pytest.mark.parametrize(
    ("text", "behaviour", "towards"),
    [
        ("be funny", "be funny", True),
        ("be funny and angry", "be funny and angry", True),
        ("don't be funny", "be funny", False),
        ("Don’t be funny!", "be funny", False),
        ("please do not be funny.", "be funny", False),
        ("be less funny", "be funny", False),
        ("be anything but funny", "be funny", False),
        ("stop being rude", "be rude", False),
        ("avoid jokes", "go in for jokes", False),
        ("don't not be funny", "be funny", True),
        ("be notable", "be notable", True),
    ],
)
def test_a_negation_steers_away_from_what_it_negates(text: str, behaviour: str, towards: bool) -> None:
    assert parse(text) == (Specification(behaviour, towards),)


@pytest.mark.parametrize("text", ["be professional, not funny", "don't be funny, be professional"])
def test_towards_one_and_away_from_another_are_two_goals(text: str) -> None:
    assert set(parse(text)) == {Specification("be professional", True), Specification("be funny", False)}


@pytest.mark.parametrize("text", ["", "  ", "."])
def test_an_empty_one_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="say which behaviour"):
        parse(text)


@pytest.mark.parametrize("text", ["be funny and not funny", "be funny but don't be funny", "don't be rude, be rude"])
def test_one_that_contradicts_itself_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="and against it"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "be cheerful and gloomy",
        "be brief and long-winded",
        "be formal, be casual",
        "write cheerfully but sadly",
        "don't be kind and don't be cruel",
    ],
)
def test_opposites_are_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="are opposites"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "be formal and polite",
        "be kind but don't be soft",
        "be cheerful, not gloomy",
        "be short and talk about a long journey by sea",
    ],
)
def test_what_goes_together_is_not_taken_for_opposites(text: str) -> None:
    parse(text)
