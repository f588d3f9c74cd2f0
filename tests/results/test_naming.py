"""Cells are told apart by what differs between them, in words and in folders' names."""

from __future__ import annotations

from typing import Any

from mindgap.results.naming import for_folder, in_words, variant, varying


def config(depth: float | None = None, **settings: Any) -> dict[str, Any]:
    steering = [] if depth is None else [{"_target_": "mindgap.steering.vectors.DifferenceInMeans", "depth": depth}]
    method = {"name": "control" if depth is None else "vector", "label": "x", "interventions": steering}
    return {"method": method, "sweep": "s", "strength": {"dose": depth or 0.2}, **settings}


def told(*configs: dict[str, Any]) -> list[str]:
    keys = varying(configs)
    return [in_words(variant(each, keys)) for each in configs]


def test_the_settings_that_differ_are_told_where_a_cell_has_them() -> None:
    assert told(config(), config(0.3, seed=0), config(0.5, seed=0)) == ["", "depth 0.3", "depth 0.5"]
    assert told(config(0.3, seed=0), config(0.3, seed=1)) == ["seed 0", "seed 1"]
    items = [config(seed=seed, task={"name": "mmlu", "seed": seed}) for seed in (0, 1)]
    assert told(*items) == ["seed 0", "seed 1"]  # the task's follows it
    assert told(items[0], {**items[0], "task": {"name": "mmlu", "seed": 7}}) == ["task.seed 0", "task.seed 7"]


def test_what_names_and_places_alone_tell_is_no_difference() -> None:
    assert told(config(), config(0.3)) == ["", ""]  # another method has another label
    assert told(config(0.3, outputs="a", judge={"model": "a"}), config(0.3, outputs="b", judge={"model": "b"})) == [
        "",
        "",
    ]


def test_options_of_a_group_are_told_by_name_and_not_by_all_they_hold() -> None:
    quick, paper = ({"name": name, "queries": ["be " + name, "be x"]} for name in ("quick", "paper"))
    assert told(config(query_set=quick), config(query_set=paper)) == ["query_set quick", "query_set paper"]
    few = {**quick, "queries": ["be funny"]}
    assert told(config(query_set=quick), config(query_set=few)) == [
        'queries ["be quick", "be x"]',
        'queries ["be funny"]',
    ]


def test_two_keys_of_one_name_are_told_in_full() -> None:
    def both(first: float, second: float) -> dict[str, Any]:
        steering = [{"depth": first}, {"depth": second}]
        return {"method": {"name": "two", "interventions": steering}}

    assert told(both(0.1, 0.2), both(0.3, 0.4)) == ["0.depth 0.1, 1.depth 0.2", "0.depth 0.3, 1.depth 0.4"]


def test_a_folder_is_named_without_what_no_file_system_likes() -> None:
    assert for_folder({"depth": "0.3", "instruction": "be/../{query}: ä?"}) == "depth0.3-instructionbe_.._query"
    assert len(for_folder({f"key{number}": "x" * 30 for number in range(9)})) <= 60
