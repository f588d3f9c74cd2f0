"""MMLU from a folder, and what is said where there is none."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.tasks.mmlu import Mmlu, MmluPaper, check_source


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Connections fail as they do without a network; the data sets' cache is empty. Returns the hosts asked for."""
    asked: list[str] = []

    def refuse(host, *arguments, **keywords):
        asked.append(str(host))
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return asked


@pytest.fixture
def folder(tmp_path):
    """Four subjects of MMLU's layout with 6 to 9 test items and 5 dev items each, as parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = tmp_path / "mmlu"
    (root / "all").mkdir(parents=True)
    (root / "README.md").write_text(
        "---\nconfigs:\n- config_name: all\n  data_files:\n"
        "  - {split: dev, path: all/dev-*.parquet}\n  - {split: test, path: all/test-*.parquet}\n---\n"
    )
    for split, counts in {"dev": [5, 5, 5, 5], "test": [6, 7, 8, 9]}.items():
        rows = [
            {"question": f" {split} {s} {n}?", "subject": f"s{s}", "choices": list("wxyz"), "answer": n % 4}
            for s, count in enumerate(counts)
            for n in range(count)
        ]
        pq.write_table(pa.Table.from_pylist(rows), root / "all" / f"{split}-00000-of-00001.parquet")
    return root


def mmlu(path, **settings) -> Mmlu:
    return Mmlu("mmlu", "", 512, path=str(path), **settings)


def test_a_folder_needs_no_network_and_gives_stratified_items(folder, no_network):
    task = mmlu(folder, limit=8)
    task.check()
    items = task.load()
    assert Counter(item.subject for item in items) == {"s0": 2, "s1": 2, "s2": 2, "s3": 2}
    assert mmlu(folder, limit=3).load() == items[:3]
    assert len(mmlu(folder).load()) == 30
    assert no_network == []


def test_another_folder_of_the_same_name_and_a_changed_one_are_read_anew(folder, no_network, tmp_path):
    import shutil

    import pyarrow as pa
    import pyarrow.parquet as pq

    assert len(mmlu(folder).load()) == 30
    other = tmp_path / "elsewhere" / "mmlu"
    shutil.copytree(folder, other)
    row = {"question": "Which?", "subject": "s", "choices": list("wxyz"), "answer": 1}
    pq.write_table(pa.Table.from_pylist([row]), other / "all" / "test-00000-of-00001.parquet")
    assert [item.question for item in mmlu(other).load()] == ["Which?"]
    pq.write_table(pa.Table.from_pylist([row, row]), other / "all" / "test-00000-of-00001.parquet")
    assert len(mmlu(other).load()) == 2
    assert len(mmlu(folder).load()) == 30


def test_ids_name_the_row_and_not_the_place_in_the_sample(folder, no_network):
    for item in mmlu(folder, limit=8, seed=3).load():
        _, split, subject, row = item.id.split("/")
        assert item.question == f"{split} {subject[1:]} {row}?" and item.gold == int(row) % 4


def test_the_paper_takes_the_first_three_dev_items_of_each_subject_whatever_the_seed(folder, no_network):
    first, second = (MmluPaper("p", "", 512, path=str(folder), seed=seed).load() for seed in (0, 1))
    assert {item.id for item in first} == {f"mmlu/dev/s{s}/{n}" for s in range(4) for n in range(3)}
    assert set(first) == set(second) and first != second


def test_without_a_network_a_hub_name_is_refused_at_the_first_try_with_what_to_type(no_network):
    with pytest.raises(UnavailableError, match=r"task\.path=path/to/mmlu"):
        mmlu("cais/mmlu").check()
    assert set(no_network) == {"huggingface.co"}
    assert len(no_network) <= 2, "`datasets` alone would ask again and again, for 23 s"


@pytest.mark.parametrize("path", ["../no/such/folder", "/no/such/folder", "folder"])
def test_a_missing_folder_is_a_config_error_without_asking_the_network(path, no_network):
    with pytest.raises(ConfigError, match="there is no such folder"):
        check_source(path)
    assert no_network == []


def test_a_folder_in_another_layout_says_which_layout_it_must_have(tmp_path, no_network):
    with pytest.raises(ConfigError, match="holds no data files"):
        check_source(str(tmp_path))
    (tmp_path / "rows.jsonl").write_text('{"question": "q"}\n')
    with pytest.raises(ConfigError, match="must have a config 'all'"):
        mmlu(tmp_path).load()


def test_missing_column_is_named(folder, no_network):
    import pyarrow.parquet as pq

    for file in (folder / "all").iterdir():
        pq.write_table(pq.read_table(file).drop_columns(["answer"]), file)
    with pytest.raises(ConfigError, match="no column 'answer'"):
        mmlu(folder).load()


def test_unusable_row_is_named(folder, no_network):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "all" / "test-00000-of-00001.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[7]["answer"] = 4
    pq.write_table(pa.Table.from_pylist(rows), file)
    with pytest.raises(ConfigError, match=r"mmlu/test/s1/1 cannot be used"):
        mmlu(folder).load()


def test_the_real_data_give_one_item_a_subject_and_the_papers_171(shared, no_network):
    data = shared / "data" / "mmlu"
    if not data.is_dir():
        pytest.skip("no MMLU beside the checkout")
    items = mmlu(data, limit=57).load()
    assert len({item.subject for item in items}) == 57 and all(len(item.options) == 4 for item in items)
    assert mmlu(data, limit=20).load() == items[:20]
    paper = MmluPaper("p", "", 512, path=str(data)).load()
    assert len(paper) == 171 and set(Counter(item.subject for item in paper).values()) == {3}
