"""What is wrong with a recording is found, counted and said; what is right is left alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mindgap.core.errors import ConfigError
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.finding import Finding
from mindgap.results.imports.findings import look
from mindgap.results.imports.reading import read_recording
from mindgap.results.imports.table import read_table

Rows = list[dict[str, Any]]
OPTIONS = "\nA. blue\nB. red\n\nAnswer with a letter."


@pytest.fixture
def findings_of(mapped: Callable[..., ColumnMap], written: Callable[..., Path]) -> Callable[..., tuple[Finding, ...]]:
    return lambda rows, **changes: look(read_recording(read_table(written(rows)), mapped(**changes)))


def counts(findings: tuple[Finding, ...]) -> list[tuple[str, str | None, int, int]]:
    return [(finding.kind, finding.method, finding.count, finding.of) for finding in findings]


def of(rows: Rows, arm: str) -> Rows:
    return [row for row in rows if row["arm"] == arm]


FindingsOf = Callable[..., tuple[Finding, ...]]


def test_only_the_replaced_system_prompt_is_noted_in_a_clean_recording(clean: Rows, findings_of: FindingsOf) -> None:
    assert [(f.kind, f.severity, f.method, f.count) for f in findings_of(clean)] == [
        ("replaced_system_prompt", "note", "Prompting", 6)
    ]
    for row in of(clean, "Asked"):
        row["system"] = f"You are a helpful assistant.\n\n{row['system']}"
    assert findings_of(clean) == ()


def test_an_arm_with_another_arms_instruction_is_contaminated(clean: Rows, findings_of: FindingsOf) -> None:
    for row in of(clean, "Steered")[:4]:
        row["system"] = f"When answering, please {row['wish']}."
    finding = findings_of(clean)[0]
    assert counts((finding,)) == [("contaminated", "Auto Steer", 4, 6)]
    assert finding.severity == "problem"
    assert "those of Prompting" in finding.says
    assert finding.examples[0]["row"] == 13
    assert finding.examples[0]["system_prompt"] == "When answering, please be funny."


def test_contamination_is_seen_where_the_instruction_does_not_quote_the_query(
    clean: Rows, findings_of: FindingsOf
) -> None:
    words = {"be funny": "Crack jokes.", "be concise": "Few words."}
    for row in clean:
        if row["arm"] != "Nothing":
            row["system"] = words[row["wish"]]
    kinds = counts(findings_of(clean))
    assert ("contaminated", "Auto Steer", 6, 6) in kinds
    assert not [kind for kind in kinds if kind[0] == "not_asked"]


def test_an_arm_that_was_to_ask_and_did_not(clean: Rows, findings_of: FindingsOf) -> None:
    for row in of(clean, "Asked"):
        row["system"] = "You are a helpful assistant."
    kinds = counts(findings_of(clean))
    assert ("not_asked", "Prompting", 6, 6) in kinds
    assert not [kind for kind in kinds if kind[0] == "contaminated"]


def test_without_system_prompts_nothing_is_said_of_them(clean: Rows, findings_of: FindingsOf) -> None:
    assert findings_of(clean, columns={"system_prompt": None}) == ()


def test_scores_that_are_none_are_counted_by_why_and_the_mean_they_move_is_told(
    clean: Rows, findings_of: FindingsOf
) -> None:
    for row, value in zip(of(clean, "Nothing"), ("0", "9", "high", "", "nan"), strict=False):
        row["shown"] = value
    of(clean, "Steered")[0]["sense"] = "-1"
    findings = [finding for finding in findings_of(clean) if finding.kind.startswith("score")]
    assert counts(tuple(findings)) == [
        ("score_out_of_range", "Control", 2, 6),
        ("score_out_of_range", "Auto Steer", 1, 6),
        ("score_not_a_number", "Control", 1, 6),
        ("score_absent", "Control", 2, 6),
    ]
    assert "the mean was 3.667 with them and is 2.000 without" in findings[0].says
    assert findings[0].examples[0]["behaviour"] == "0"


def test_a_duplicate_is_a_sample_with_the_same_response_and_another_response_is_an_epoch(
    clean: Rows, findings_of: FindingsOf
) -> None:
    again = [dict(row) for row in of(clean, "Nothing")[:2]]
    again[1]["reply"] = "something else"
    kinds = counts(findings_of([*clean, *again]))
    assert ("duplicate", "Control", 1, 8) in kinds
    assert ("uneven_epochs", "Control", 1, 7) in kinds


def test_with_numbered_epochs_the_same_number_twice_is_a_conflict(clean: Rows, findings_of: FindingsOf) -> None:
    numbered = [{**row, "run": 0} for row in clean] + [{**row, "run": 1} for row in clean]
    columns = {"epoch": "run"}
    assert {kind for kind, *_ in counts(findings_of(numbered, columns=columns))} == {"replaced_system_prompt"}
    other = {**numbered[0], "reply": "something else"}
    assert ("conflict", "Control", 1, 13) in counts(findings_of([*numbered, other], columns=columns))


@pytest.mark.parametrize("epoch", ["first", "-1", "1.5", "9" * 400])
def test_an_epoch_that_is_no_number_is_refused_with_its_row(epoch: str, clean: Rows, findings_of: FindingsOf) -> None:
    with pytest.raises(ConfigError, match=r"row 2: the epoch .* is not a number from 0 on"):
        findings_of([{**clean[0], "run": "0"}, {**clean[1], "run": epoch}], columns={"epoch": "run"})


def test_a_row_that_only_others_have_is_missing_and_a_query_that_is_all_gone_is_named(
    clean: Rows, findings_of: FindingsOf
) -> None:
    left = [row for row in clean if not (row["arm"] == "Steered" and row["wish"] == "be concise")][1:]
    findings = {finding.method: finding for finding in findings_of(left) if finding.kind == "missing_sample"}
    assert (findings["Control"].count, findings["Control"].of) == (1, 6)
    assert (findings["Auto Steer"].count, findings["Auto Steer"].of) == (3, 6)
    assert "nothing at all for 'be concise'" in findings["Auto Steer"].says
    assert "nothing at all" not in findings["Control"].says


def test_unreadable_answers_are_a_share_of_each_method_with_their_reasons(clean: Rows, findings_of: FindingsOf) -> None:
    for row in clean:
        row["user"] += OPTIONS
        row["reply"] = "<answer>A</answer>"
    of(clean, "Steered")[0]["reply"] = "Blue, blue, blue is what I sing"
    finding = next(finding for finding in findings_of(clean, options="prompt") if finding.kind == "unparsed")
    assert counts((finding,)) == [("unparsed", "Auto Steer", 1, 6)]
    assert "16.7 %" in finding.says
    assert "no answer tag and no clear statement" in finding.says


def test_empty_responses_that_were_scored_all_the_same(clean: Rows, findings_of: FindingsOf) -> None:
    of(clean, "Asked")[0]["reply"] = " \n"
    finding = next(finding for finding in findings_of(clean) if finding.kind == "empty_response")
    assert counts((finding,)) == [("empty_response", "Prompting", 1, 6)]
    assert "1 of them have scores" in finding.says


def test_a_method_the_map_does_not_know_is_kept_under_its_own_name(clean: Rows, findings_of: FindingsOf) -> None:
    for row in of(clean, "Steered"):
        row["arm"] = "Shouting!"
    assert ("unknown_method", "Shouting!", 6, 6) in counts(findings_of(clean))


def test_a_map_without_methods_keeps_all_names_and_complains_of_none(clean: Rows, findings_of: FindingsOf) -> None:
    assert findings_of(clean, methods={}) == ()


def test_rows_that_belong_to_no_sample_are_counted(clean: Rows, findings_of: FindingsOf) -> None:
    clean[3]["arm"] = " "
    clean[4]["user"] = ""
    finding = findings_of(clean)[0]
    assert counts((finding,)) == [("unusable_row", None, 2, 18)]
    assert finding.examples == ({"row": 4, "why": "no method"}, {"row": 5, "why": "no prompt"})


def test_a_gold_answer_that_is_no_option_is_not_taken_for_one(clean: Rows, findings_of: FindingsOf) -> None:
    for row in clean:
        row |= {"user": row["user"] + OPTIONS, "reply": "B", "right": "red"}
    clean[0]["right"] = "green"
    finding = next(f for f in findings_of(clean, options="prompt", columns={"gold": "right"}) if f.kind == "no_gold")
    assert counts((finding,)) == [("no_gold", None, 1, 18)]


def test_steered_responses_that_are_those_without_steering(clean: Rows, findings_of: FindingsOf) -> None:
    for plain, steered in zip(of(clean, "Nothing")[:2], of(clean, "Steered")[:2], strict=True):
        steered["reply"] = plain["reply"]
    assert ("same_as_unsteered", "Auto Steer", 2, 6) in counts(findings_of(clean))


def test_the_order_of_rows_changes_no_finding(clean: Rows, findings_of: FindingsOf) -> None:
    for row in of(clean, "Steered")[:4]:
        row["system"] = f"When answering, please {row['wish']}."
    clean[0]["shown"] = 0
    del clean[8]
    mixed = random.Random(1).sample(clean, len(clean))
    assert sorted(counts(findings_of(mixed)), key=str) == sorted(counts(findings_of(clean)), key=str)


def test_problems_come_before_notes(clean: Rows, findings_of: FindingsOf) -> None:
    clean[0]["shown"] = 0
    severities = [finding.severity for finding in findings_of(clean)]
    assert severities == sorted(severities, key=lambda severity: severity != "problem")
    assert len(set(severities)) == 2
