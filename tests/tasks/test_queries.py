"""Query sets: every query has a rubric, and a set that cannot be meant is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.tasks.queries import QuerySet

CONF = Path(__file__).resolve().parents[2] / "conf" / "query_set"


def from_conf(name: str) -> QuerySet:
    return build(OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml")), "query_set")  # type: ignore[arg-type]


def test_the_papers_fourteen_each_have_a_rubric_of_their_own():
    queries = from_conf("paper").queries
    assert len(queries) == 14
    assert len({query.rubric for query in queries}) == 14
    general = QuerySet("x", ["be unlike anything"]).queries[0].rubric
    for query in queries:
        assert query.text in query.rubric
        assert query.rubric != general.replace("be unlike anything", query.text)
        assert all(f"{score} = " in query.rubric for score in range(1, 6))
        weights = [int(part.split("%")[0]) for part in query.rubric.split("(")[1:] if "%" in part]
        assert sum(weights) == 100


def test_quick_is_part_of_the_paper_with_the_same_rubrics():
    assert len(from_conf("quick").queries) == 3
    assert set(from_conf("quick").queries) <= set(from_conf("paper").queries)


def test_a_users_set_needs_only_texts_and_gets_a_general_rubric():
    (query,) = build({"name": "mine", "queries": ["speak like a pirate"]}, "query_set", QuerySet).queries
    assert query.text == "speak like a pirate"
    assert "speak like a pirate" in query.rubric and "{query}" not in query.rubric
    assert all(f"{score} = " in query.rubric for score in range(1, 6))


def test_a_rubric_of_the_users_own_goes_before_ours():
    own, plain = QuerySet(
        "mine", [{"text": "be funny", "rubric": "1 = no joke, 5 = a joke"}, {"text": "be brief"}]
    ).queries
    assert own.rubric == "1 = no joke, 5 = a joke"
    assert "be brief" in plain.rubric


def test_case_and_spacing_do_not_cost_a_query_its_rubric():
    assert QuerySet("x", ["Be  Funny"]).queries[0].rubric == QuerySet("x", ["be funny"]).queries[0].rubric


def test_sets_of_the_same_queries_are_equal_and_can_key_a_dictionary():
    assert {QuerySet("a", ["be funny"]): 1}[QuerySet("a", ["be funny"])] == 1


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ([], "query_set.queries is empty"),
        ("be funny", "must be a list of texts"),
        (None, "must be a list of texts"),
        (["be funny", "Be funny "], r"query_set.queries.1: 'Be funny' is there twice"),
        (["be funny", " "], "query_set.queries.1 is blank"),
        ([True], "query_set.queries.0=True"),
        ([{"rubric": "x"}], "query_set.queries.0=None"),
        ([{"text": "be funny", "rubrik": "x"}], "query_set.queries.0.rubrik"),
        ([{"text": "be funny", "rubric": ""}], "query_set.queries.0.rubric"),
    ],
)
def test_a_set_that_cannot_be_meant_is_refused_by_name(queries, words):
    with pytest.raises(ConfigError, match=words):
        QuerySet("mine", queries)
