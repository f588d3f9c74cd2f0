"""The built-in items, and what the same seed has to give."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.core.records import Item
from mindgap.tasks.base import stratified
from mindgap.tasks.choice import shuffled
from mindgap.tasks.mmlu import Mmlu, MmluPaper
from mindgap.tasks.questions import ChoiceQuestions, OpenQuestions, read_items

CONF = Path(__file__).resolve().parents[2] / "conf" / "task"


def from_conf(name: str, /, **changes):
    composed = OmegaConf.merge({"seed": 0, "task": OmegaConf.load(CONF / f"{name}.yaml")})
    node = OmegaConf.to_container(composed, resolve=True)
    return build({**node["task"], **changes}, "task")  # type: ignore[dict-item]


def _python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    environment["PYTHONPATH"] = str(CONF.parents[1])
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def starter(**changes) -> ChoiceQuestions:
    return from_conf("starter", **{"limit": None, **changes})


@pytest.mark.parametrize(
    ("name", "kind"),
    [("starter", ChoiceQuestions), ("open", OpenQuestions), ("mmlu", Mmlu), ("mmlu_paper", MmluPaper)],
)
def test_every_shipped_task_is_valid_and_can_key_a_dictionary(name, kind):
    task = from_conf(name)
    assert isinstance(task, kind) and task.name == name
    assert {task: 1}[from_conf(name)] == 1


def test_starter_is_large_diverse_and_balanced():
    items = starter().load()
    assert len(items) >= 120
    assert len({item.subject for item in items}) >= 20
    assert len({item.id for item in items}) == len({item.question for item in items}) == len(items)
    golds = Counter(item.gold for item in items)
    assert sorted(golds) == [0, 1, 2, 3] and max(golds.values()) - min(golds.values()) <= 1
    assert all(len(item.options) == len({option.casefold() for option in item.options}) == 4 for item in items)


def test_the_length_of_a_starter_option_does_not_give_the_gold_away():
    items = starter().load()
    longest = [item.gold for item in items if len(item.options[item.gold]) > max(_others(item))]
    shortest = [item.gold for item in items if len(item.options[item.gold]) < min(_others(item))]
    assert len(longest) <= len(items) / 4 and len(shortest) <= len(items) / 4


def _others(item: Item) -> list[int]:
    return [len(option) for index, option in enumerate(item.options) if index != item.gold]


def test_open_and_contrast_prompts_are_many_distinct_and_share_no_prompt():
    open_items = from_conf("open").load()
    contrast = (resources.files("mindgap") / "data" / "contrast.txt").read_text(encoding="utf-8").splitlines()
    assert len(open_items) == 40 and len(set(contrast)) == len(contrast) == 32
    assert all(item.gold is None and item.options == () for item in open_items)
    asked = {item.question for item in open_items} | {item.question for item in starter().load()}
    assert not asked & set(contrast) and all(line.strip() for line in contrast)


def test_a_smaller_limit_is_a_prefix_and_takes_from_all_subjects():
    everything = starter().load()
    for limit in (1, 7, 24, 100):
        assert starter(limit=limit).load() == everything[:limit]
    assert len({item.subject for item in everything[:24]}) == 24


def test_limit_beyond_the_items_gives_all_of_them():
    assert len(starter(limit=10_000).load()) == len(starter().load())


def test_seed_changes_the_draw_and_nothing_else_does():
    first = starter(limit=24).load()
    assert starter(limit=24, max_tokens=7, system="x", name="y").load() == first
    assert {item.id for item in starter(limit=24, seed=1).load()} != {item.id for item in first}


def test_items_and_shuffles_do_not_depend_on_the_hash_seed():
    code = (
        "from mindgap.tasks.questions import ChoiceQuestions as C\n"
        "print(C('s', '', 8, seed=3, limit=40, shuffle_options=True).load())"
    )
    runs = [_python(code, PYTHONHASHSEED=hash_seed) for hash_seed in ("1", "2")]
    assert runs[0] == runs[1] and "Item(" in runs[0]


def test_draw_does_not_depend_on_the_order_of_the_source():
    items = starter().load()
    assert stratified(reversed(items), 5, 50) == stratified(items, 5, 50)


def test_shuffled_options_keep_the_gold_text_and_reach_every_order():
    item = Item("x", "?", "s", ("a", "b", "c", "d"), 2)
    seen = {shuffled(item, seed).options for seed in range(300)}
    assert seen == set(itertools.permutations("abcd"))
    for seed in range(20):
        again = shuffled(item, seed)
        assert again.options[again.gold] == "c" and again.id == "x"
    assert shuffled(Item("y", "?", "s", item.options, 2), 0).options != shuffled(item, 0).options


def test_messages_list_the_options_and_ask_for_the_tag_without_giving_a_letter_away():
    task = starter()
    item = task.load()[0]
    system, user = task.messages(item)
    assert (system.role, user.role) == ("system", "user")
    assert user.content.splitlines()[1:] == [f"{letter}. {o}" for letter, o in zip("ABCD", item.options, strict=True)]
    assert "<answer>" in system.content
    assert task.read(item, system.content).choice is None  # an echo of the instruction is no answer


@pytest.mark.parametrize("name", ["starter", "mmlu", "mmlu_paper"])
def test_echo_of_the_prompt_is_no_answer(name):
    task = from_conf(name)
    item = Item("x", "Which?", "s", ("one", "two", "three", "four"), 1)
    for message in task.messages(item):
        assert task.read(item, message.content).choice is None


def test_options_are_scored_without_the_list_or_by_letter():
    task = starter()
    item = task.load()[0]
    messages, replies = task.option_request(item, "continuation")
    assert replies == item.options and messages[-1].content == item.question
    messages, replies = task.option_request(item, "letter")
    assert replies == ("A", "B", "C", "D") and item.options[3] in messages[-1].content
    with pytest.raises(ConfigError, match="choose continuation or letter"):
        task.option_request(item, "digit")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"limit": 0}, "task.limit must be at least 1"),
        ({"max_tokens": 0}, "task.max_tokens must be at least 1"),
        ({"seed": -1}, "task.seed must be 0 or more"),
        ({"instruction_mode": "append"}, "choose add or replace"),
        ({"name": ""}, "task.name is empty"),
        ({"limt": 3}, "Did you mean task.limit"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(change, words):
    with pytest.raises(ConfigError, match=words):
        from_conf("starter", **change)


GOOD = {"id": "1", "subject": "s", "question": "q?", "options": ["a", "b"], "gold": 1}


@pytest.mark.parametrize("end", ["\u2028", "\x85"])
def test_a_line_of_the_file_ends_where_json_lines_end(tmp_path, end):
    file = tmp_path / "mine.jsonl"
    row = {**GOOD, "question": f"one{end}two"}
    file.write_text(json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8")
    assert [item.question for item in starter(path=str(file)).load()] == [row["question"]]


def test_a_users_own_file_is_a_task(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "id": "2", "options": ["a", "b", "c"]}) + "\n")
    task = starter(path=str(file))
    task.check()
    assert {item.id: item.options for item in task.load()} == {"1": ("a", "b"), "2": ("a", "b", "c")}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["{"], "line 1"),
        (["[" * 100_000], "line 1"),
        (["[]"], "line 1: an item is a JSON object"),
        ([json.dumps(GOOD), json.dumps(GOOD)], "line 2: the id '1' is there twice"),
        ([json.dumps({**GOOD, "gold": 2})], "gold 2 is not an index"),
        ([json.dumps({**GOOD, "gold": -1})], "gold -1 is not an index"),
        ([json.dumps({**GOOD, "gold": "b"})], "'gold' must be the number"),
        ([json.dumps({**GOOD, "options": "ab"})], "'options' must be a list of texts"),
        ([json.dumps({**GOOD, "options": ["a"], "gold": 0})], "must hold 2 to 26"),
        ([json.dumps({**GOOD, "question": " "})], "'question' must be text"),
        ([json.dumps({**GOOD, "answer": 1})], "unknown key 'answer'"),
        ([json.dumps({"id": "1", "question": "q"})], "'gold' is missing"),
        ([], "no items in it"),
    ],
)
def test_a_damaged_file_is_refused_while_the_config_is_checked(tmp_path, lines, words):
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=re.escape(words)):
        starter(path=str(file)).check()


def test_a_missing_file_says_what_to_give():
    with pytest.raises(ConfigError, match=r"task\.path=nowhere\.jsonl"):
        starter(path="nowhere.jsonl").check()


def test_importing_the_tasks_loads_nothing_heavy():
    code = (
        "import sys, mindgap.tasks.questions, mindgap.tasks.mmlu, mindgap.tasks.queries\n"
        "print([m for m in ('torch', 'datasets', 'huggingface_hub', 'pandas', 'omegaconf') if m in sys.modules])"
    )
    assert _python(code).strip() == "[]"


def test_starter_is_within_the_reach_of_the_embedded_model(tiny):
    """Under control, by length-normalised continuation: neither hopeless nor solved."""
    from mindgap.core.records import OptionsRequest

    task = starter()
    items = task.load()
    requests = [OptionsRequest(tiny.identity, *task.option_request(item, "continuation")) for item in items]
    right = 0
    for index, scores in tiny.loglikelihood(requests):
        per_token = scores.per_token()
        right += per_token.index(max(per_token)) == items[index].gold
    assert 0.50 <= right / len(items) <= 0.85


def test_a_file_with_a_byte_order_mark_and_line_separators_is_read_and_one_in_latin_1_is_told(tmp_path: Path) -> None:
    line = '{"id": "1", "subject": "s", "question": "First\u2028second\u0085é?", "options": ["a", "b"], "gold": 0}\n'
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line.encode())
    (item,) = read_items(path, choice=True)
    assert item.question == "First\u2028second\u0085é?"
    path.write_bytes(line.replace("\u2028", "").encode("latin-1"))
    with pytest.raises(ConfigError, match=r"items\.jsonl is not in UTF-8.*iconv -f LATIN1"):
        list(read_items(path, choice=True))
