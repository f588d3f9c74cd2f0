"""Small recordings that once were read wrongly: what comes out of each."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from mindgap.analysis.compute import compare
from mindgap.analysis.headline import headline
from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import ConfigError
from mindgap.replay.importing import Imported, import_recording
from mindgap.results.files import read_cell
from mindgap.results.imports.maps import load_map
from mindgap.results.sweep import read_sweep
from mindgap.tasks.answers import read_choice
from mindgap.tasks.questions import read_items


@pytest.fixture(scope="module")
def cases(shared: Path) -> Path:
    folder = shared / "data" / "cases" / "import"
    if not folder.is_dir():
        pytest.skip("the cases are not here")
    return folder


class Import:
    """Imports a case into one folder."""

    def __init__(self, cases: Path, folder: Path) -> None:
        self.cases, self.folder = cases, folder

    def __call__(self, file: str, *changes: str, name: str = "m") -> Imported:
        column_map = load_map(str(self.cases / f"{name}.yaml"), config_folder() / "replay", changes)
        return import_recording(self.cases / file, column_map, self.folder, resamples=100)


@pytest.fixture
def importing(cases: Path, tmp_path: Path) -> Import:
    return Import(cases, tmp_path / "out")


def means(imported: Imported, metric: str = "behaviour") -> dict[str, float | None]:
    return {cell.label: cell.metrics[metric].value for cell in imported.cells}


def kinds(imported: Imported) -> set[str]:
    return {finding.kind for finding in imported.findings}


def test_methods_that_differ_in_a_sign_are_two(importing: Import) -> None:
    imported = importing("signs.jsonl")
    assert means(imported) == {"coeff=-1.0": 1, "coeff=1.0": 5}
    assert len({cell.folder for cell in imported.cells}) == len({cell.method for cell in imported.cells}) == 2


def test_a_change_without_variation_has_no_interval_and_promises_nothing(importing: Import) -> None:
    imported = importing("power0.jsonl")
    text = headline(compare(read_sweep(imported.cells[0].folder.parent).groups[0]))
    assert "+2.00 points of 5 (no interval)" in text and "would" not in text


def test_files_of_one_name_in_two_folders_stand_beside_each_other_and_a_reimport_replaces(importing: Import) -> None:
    first = importing("two/llama/results.csv", "model=llama")
    second = importing("two/qwen/results.csv", "model=qwen")
    for _ in range(2):
        there = {path.parent.name for path in importing.folder.glob("*/metrics.json")}
        assert there == {cell.name for cell in (*first.cells, *second.cells)}
        importing("two/llama/results.csv", "model=llama")
    with pytest.raises(ConfigError, match="already"):
        importing("two/qwen/results.csv", "model=llama")


def test_a_file_with_other_contents_in_the_same_place_takes_nothing_away(
    cases: Path, importing: Import, tmp_path: Path
) -> None:
    place = tmp_path / "results.csv"
    importing.cases = tmp_path
    shutil.copy(cases / "m.yaml", tmp_path)
    shutil.copy(cases / "two/llama/results.csv", place)
    importing("results.csv", "model=llama")
    place.unlink()
    shutil.copy(cases / "two/qwen/results.csv", place)
    importing("results.csv", "model=qwen")
    assert {cell.model for cell in read_sweep(importing.folder).cells} == {"llama", "qwen"}


def test_strengths_that_differ_in_a_mark_have_a_folder_each(importing: Import) -> None:
    imported = importing("strengths.jsonl", "columns.strength=strength")
    assert {cell.strength for cell in imported.cells} == {"<5", ">5"}
    assert {read_cell(cell.folder).strength for cell in imported.cells} == {"<5", ">5"}


@pytest.mark.parametrize(
    ("file", "guess", "setting"),
    [("scale100.jsonl", "0-100", "scale=[0,100]"), ("scale01.jsonl", "0-1", "scale=[0,1]")],
)
def test_another_scale_is_refused_with_a_guess_and_converted_when_told(
    file: str, guess: str, setting: str, importing: Import
) -> None:
    with pytest.raises(ConfigError, match=rf"look like {guess},.*map\.scale=\[{guess.replace('-', ', ')}\]"):
        importing(file)
    assert not importing.folder.exists()
    imported = importing(file, setting)
    for cell in imported.cells:
        raw = [sample for sample in imported.recording.samples if sample.cell.method == cell.method]
        top = float(guess.partition("-")[2])
        expected = sum(1 + 4 * float(sample.behaviour_raw or "nan") / top for sample in raw) / len(raw)
        assert cell.metrics["behaviour"].value == pytest.approx(expected)
        assert f"behaviour {raw[0].behaviour_raw} on {guess}" in cell.records[0].analysis


def test_repeats_with_one_reply_are_each_counted(importing: Import) -> None:
    imported = importing("repeats.jsonl")
    assert list(means(imported).values()) == pytest.approx([1.4, 4.2])
    assert kinds(imported) == {"repeats"}
    assert list(means(importing("repeats.jsonl", "repeats=duplicates")).values()) == pytest.approx([3, 3])


def test_epochs_counted_from_one_and_complete_are_no_finding(importing: Import) -> None:
    imported = importing("epoch1.jsonl", "columns.epoch=epoch")
    assert imported.findings == ()
    assert {record.epoch for cell in imported.cells for record in cell.records} == {0, 1, 2}


def test_yaml_keys_are_names_as_they_are_written(importing: Import) -> None:
    imported = importing("onoff.jsonl", name="m_onoff2")
    assert {cell.method for cell in imported.cells} == {"control", "vector"}
    assert "unknown_method" not in kinds(imported)


def test_rows_without_a_query_count_under_every_one_or_are_refused_by_name(importing: Import) -> None:
    with pytest.raises(ConfigError, match=r"none of the 4 rows of control names a query.*map\.no_query=every"):
        importing("noquery.jsonl")
    imported = importing("noquery.jsonl", "no_query=every")
    control, steered = imported.cells
    assert {record.query for record in control.records} == {record.query for record in steered.records}
    assert len({record.key for record in control.records}) == len(control.records)
    assert control.metrics["coherence"].missing == 0
    assert kinds(importing("noquery.jsonl", "no_query=leave")) >= {"unusable_row"}


def test_a_list_of_one_reply_is_that_reply(importing: Import) -> None:
    imported = importing("lists.jsonl", "options=prompt", "columns.gold=gold")
    assert means(imported, "accuracy") == {"control": 1, "vec": 1}
    assert imported.cells[0].records[0].response == "The answer is B."


def test_a_gold_answer_that_is_a_number_is_its_place_or_text_as_told_and_else_refused(importing: Import) -> None:
    settings = ("options=prompt", "columns.gold=gold")
    assert "map.gold_is" in next(
        f.says for f in importing("goldindex.jsonl", *settings).findings if f.kind == "no_gold"
    )
    assert means(importing("goldindex.jsonl", *settings, "gold_is=index"), "accuracy") == {"control": 1, "vec": 1}
    assert means(importing("goldindex.jsonl", *settings, "gold_is=text"), "accuracy") == {"control": 0, "vec": 0}


def test_half_characters_are_replaced_and_told(importing: Import) -> None:
    imported = importing("surrogate.jsonl")
    assert [read_cell(cell.folder).records[0].response for cell in imported.cells] == ["Ha \ufffd", "So \U0001f600"]
    assert kinds(imported) >= {"half_characters"}


def test_a_word_of_the_system_prompt_is_no_instruction(importing: Import) -> None:
    imported = importing("helpful.jsonl", "columns.system_prompt=system", name="m_sys")
    assert not {finding.kind for finding in imported.findings if finding.severity == "problem"}


def test_two_judges_of_the_same_responses_join(importing: Import) -> None:
    importing("judges.jsonl", name="judge_a")
    importing("judges.jsonl", name="judge_b")
    cells = read_sweep(importing.folder).cells
    assert sorted((cell.judge, cell.method) for cell in cells) == [
        (judge, method) for judge in ("judge_a", "judge_b") for method in ("control", "vec")
    ]
    assert {cell.metrics["behaviour"].value for cell in cells if cell.method == "control"} == {2, 4}


def test_no_csv_of_an_import_holds_a_formula(importing: Import) -> None:
    imported = importing("formula.jsonl")
    assert {cell.label for cell in imported.cells} == {"control", "-vec"}
    with (importing.folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"control", "'-vec"}


def test_items_with_line_separators_are_read(cases: Path) -> None:
    (item,) = read_items(cases.parent / "questions" / "u2028.jsonl", choice=True)
    assert item.options == ("a", "b")


def test_a_query_set_named_like_a_number_is_found(cases: Path) -> None:
    found = f"hydra.searchpath=[file://{cases.parent / 'config'}]"
    assert composed(["query_set=2024", "sweep=20251125", found], config_folder())["query_set"]["name"] == "2024"


@pytest.mark.parametrize("reply", [r"$\boxed{B}$", "B. Paris\n\nwhy", "The correct answer is:\n\nB: Paris\n\nwhy"])
def test_the_replies_of_the_cases_are_read(reply: str) -> None:
    assert read_choice(reply, ("Rome", "Paris", "Bern", "Oslo")).choice == 1
