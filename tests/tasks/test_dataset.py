"""A data set of one's own, in the shapes that people have."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.core.records import Message
from mindgap.tasks.columns import Columns
from mindgap.tasks.dataset import Dataset

CONF = Path(__file__).resolve().parents[2] / "conf" / "task"
MCQ = (
    "q,a,b,c,d,key\n"
    + "What is 1+1?,1,2,3,5,B\n"
    + '"Red, or\nblue?",red,blue,green,black,A\n'
    + "Capital?,W,X,Y,Paris,D\n"
)


def task(path, **changes) -> Dataset:
    return Dataset(**{"name": "d", "system": "auto", "max_tokens": 9, "path": str(path), **changes})


@pytest.fixture
def write(tmp_path):
    def written(name, content):
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else "\n".join(map(json.dumps, content)), encoding="utf-8")
        return file

    return written


def by_question(task):
    return {item.question: item for item in task.load()}


@pytest.mark.parametrize(("name", "separator"), [("m.csv", ","), ("m.tsv", "\t")])
def test_a_table_of_multiple_choice(write, name, separator):
    items = by_question(task(write(name, MCQ.replace(", or", " or").replace(",", separator))))
    assert items["What is 1+1?"].options == ("1", "2", "3", "5") and items["What is 1+1?"].gold == 1
    assert items["Red or\nblue?"].gold_text == "red" and items["Capital?"].gold_text == "Paris"


@pytest.mark.parametrize(
    ("choices", "answers", "golds"),
    [
        (["x", "y", "z"], ["B", "C"], ["y", "z"]),
        (["x", "y", "z"], ["y", "x"], ["y", "x"]),
        (["x", "y", "z"], [0, 2], ["x", "z"]),
        (["x", "y", "z"], [1, 3], ["x", "z"]),  # a 3 of three options: they count from 1
        (["4", "1", "0"], [1, 0], ["1", "4"]),  # numbers, not the texts
        ({"text": ["x", "y"], "label": ["1", "2"]}, ["1", "2"], ["x", "y"]),  # ARC names its options itself
    ],
)
def test_json_lines_name_the_answer_as_they_like(write, choices, answers, golds):
    rows = [{"question": f"q{n}", "choices": choices, "answer": answer} for n, answer in enumerate(answers)]
    items = by_question(task(write("m.jsonl", rows)))
    assert [items[f"q{n}"].gold_text for n in range(len(answers))] == golds


@pytest.mark.parametrize("answers", [["1", "2"], ["1", "1"]])
def test_answers_with_two_readings_are_asked_about(write, answers):
    rows = [{"question": f"q{n}", "choices": ["1", "2", "3"], "answer": a} for n, a in enumerate(answers)]
    with pytest.raises(ConfigError, match=r"answer_is.*index.*number.*letter or text"):
        task(write("m.jsonl", rows)).load()
    said = task(write("m.jsonl", rows), columns=Columns(answer_is="text"))
    assert by_question(said)["q0"].gold_text == "1"


def test_numbers_that_could_count_from_0_or_1_are_asked_about(write):
    rows = [{"question": f"q{n}", "choices": ["x", "y", "z"], "answer": 1} for n in range(2)]
    with pytest.raises(ConfigError, match="answer_is"):
        task(write("m.jsonl", rows)).load()


def test_gsm8k_shaped_parquet(tmp_path):
    rows = {"question": ["2+2?", "3+4000?"], "answer": ["so <<2+2=4>>4\n#### 4", "x\n#### 4,003"]}
    pq.write_table(pa.table(rows), tmp_path / "test-00000-of-00001.parquet")
    numeric = task(tmp_path)
    items = by_question(numeric)
    assert items["2+2?"].reference == ("4",) and items["2+2?"].options == ()
    assert numeric.read(items["3+4000?"], "It is <answer>4003</answer>").right is True
    assert numeric.read(items["3+4000?"], "I have 4000 and 3").unparsed
    with pytest.raises(ConfigError, match="no options to score"):
        numeric.option_request(items["2+2?"], "letter")


def test_prompts_of_a_text_file(write):
    prompts = task(write("prompts.txt", "\ufeffTell me a story.\n\n  Why is the sky blue?  \n"))
    assert set(by_question(prompts)) == {"Tell me a story.", "Why is the sky blue?"}
    item = prompts.load()[0]
    assert prompts.messages(item) == (Message("user", item.question),) and prompts.read(item, "x") is None


def test_exact_answers_may_be_several(write):
    rows = [{"question": "Capital?", "answer": ["Paris", "Lutetia"]}]
    with pytest.raises(ConfigError, match=r"task\.kind.*exact"):
        task(write("e.jsonl", rows)).load()
    exact = task(write("e.jsonl", rows), kind="exact")
    (item,) = exact.load()
    assert exact.read(item, "<answer>lutetia</answer>").right and not exact.read(item, "<answer>Rome</answer>").right


def test_a_pattern_reads_what_it_says(write):
    said = task(write("r.jsonl", [{"question": "?", "answer": "yes"}]), kind="regex", pattern=r"verdict=(\w+)")
    (item,) = said.load()
    assert said.read(item, "verdict=YES").right and said.read(item, "yes").unparsed


def test_a_template_makes_the_question_in_a_sandbox(write):
    file = write("t.jsonl", [{"passage": "Rain.", "question": "Wet?", "options": ["yes", "no"], "answer": 0}])
    (item,) = task(file, prompt="{{ passage }}\n\n{{ question }}").load()
    assert item.question == "Rain.\n\nWet?"
    for bad in ("{{ pasage }}", "{{ ''.__class__.__mro__ }}", "{{ question", "{{ 1 / 0 }}"):
        with pytest.raises(ConfigError, match=r"t.jsonl, line 1: task.prompt.*Its columns: passage, question"):
            task(file, prompt=bad).load()


def test_a_conversation_is_a_question(write):
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "?"},
    ]
    (item,) = task(write("c.jsonl", [{"messages": turns}])).load()
    assert item.question == "?" and len(item.turns) == 2


def test_examples_are_drawn_answered_as_asked_and_no_items(write):
    rows = [{"question": f"q{n}", "choices": ["x", "y"], "answer": "AB"[n % 2]} for n in range(6)]
    shown = task(write("m.jsonl", rows), shots=2)
    items = shown.load()
    messages = shown.messages(items[0])
    examples = [message.content.split("\n")[0] for message in messages[1:-1:2]]
    assert len(items) == 4 and len(messages) == 6 and not set(examples) & {item.question for item in items}
    assert messages[2].content in ("<answer>A</answer>", "<answer>B</answer>")
    assert shown.option_request(items[0], "letter")[0][2].content in ("A", "B")
    assert shown.option_request(items[0], "continuation")[0][2].content in ("x", "y")
    assert task(write("m.jsonl", rows), shots=2, seed=7).messages(items[0]) != messages
    train = write("train.jsonl", [{"question": "t", "choices": ["x", "y"], "answer": "A"}, *rows[1:2]])
    other = task(write("m.jsonl", rows), shots=2, shots_from=str(train))
    assert len(other.load()) == 6 and "t\nA. x\nB. y" in [m.content for m in other.messages(items[0])]


def test_ids_are_the_content_where_there_are_none(write):
    first, second = [{"question": "p", "answer": 1}, {"question": "q", "answer": 2}], [{"question": "q", "answer": 2}]
    one, two = task(write("1.jsonl", first)), task(write("2.jsonl", second))
    assert by_question(one)["q"].id == by_question(two)["q"].id  # the place in the file is no name
    assert len({item.id for item in task(write("3.jsonl", second * 3)).load()}) == 3


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("m.csv", MCQ + "Last?,1,2,3,4,E\n", {}, r"m.csv, line 6: column 'key' holds 'E'.*columns: q, a, b, c, d, key"),
        ("m.csv", MCQ + "short,1\n", {}, r"m.csv, line 6: 2 cells, but 6 columns"),
        ("m.csv", MCQ, {"columns": Columns(question="quest")}, r"columns.question=quest.*columns q, a, b, c, d, key"),
        ("m.csv", "foo,bar\n1,2\n", {}, r"columns.question: say which.*has the columns foo, bar"),
        ("m.csv", "question,answer,label\n1,2,3\n", {}, r"answer: it could be answer or label"),
        ("m.jsonl", '{"question": "x"}\n{bad', {}, r"m.jsonl, line 2"),
        ("m.jsonl", "[1]", {}, r"line 1: a row is a JSON object"),
        ("m.json", "[1", {}, r"m.json: "),
        ("m.csv", "", {}, r"there is nothing in it"),
        ("m.jsonl", '{"question": "x", "id": 1}\n{"question": "y", "id": 1}', {}, r"line 2: the id '1' is there twice"),
        ("m.jsonl", '{"question": "x", "answer": "word"}', {"kind": "numeric"}, r"line 1: .*which is no number"),
        ("m.jsonl", '{"question": " "}', {}, r"line 1: column 'question' holds no question"),
        ("m.jsonl", '{"question": "x"}', {"kind": "exact"}, r"columns.answer: say which"),
        ("m.xml", "x", {}, r"files can be .csv"),
    ],
)
def test_what_cannot_be_read_names_its_line_and_the_columns(write, name, content, settings, message):
    with pytest.raises(ConfigError, match=message):
        task(write(name, content), **settings).check()


@pytest.mark.parametrize(
    "settings",
    [{"kind": "x"}, {"shots": -1}, {"pattern": "("}, {"kind": "regex"}, {"tolerance": 1}, {"path": " "}],
)
def test_settings_out_of_range(settings):
    with pytest.raises(ConfigError, match=r"task\."):
        task(**{"path": "x.csv", **settings})


def test_a_folder_without_the_split_says_what_is_there(tmp_path):
    (tmp_path / "train.csv").write_text(MCQ)
    with pytest.raises(ConfigError, match=r"task.split=test.*train.csv"):
        task(tmp_path).load()
    assert len(task(tmp_path, split="train").load()) == 3


def test_a_missing_file_is_no_name_on_the_hub():
    with pytest.raises(ConfigError, match="no such file"):
        task("nowhere/mcq.csv").check()


def test_a_file_that_changed_is_read_again(write):
    prompts = task(write("p.txt", "one"))
    assert len(prompts.load()) == 1
    write("p.txt", "one\ntwo")
    assert len(prompts.load()) == 2


def test_only_the_rows_asked_for(write):
    rows = [{"prompt": f"p{n}", "label": ["safe", "unsafe"][n % 2]} for n in range(4)]
    file = write("w.jsonl", rows)
    chosen = task(file, where={"label": "safe"}, kind="open")
    assert set(by_question(chosen)) == {"p0", "p2"} and {chosen: 1}[chosen] == 1
    for where in ({"labels": "safe"}, {"label": "odd"}):
        with pytest.raises(ConfigError, match=r"task\.where"):
            task(file, where=where, kind="open").load()


PRESETS = {
    "gsm8k": {"question": "1+1?", "answer": "1+1=2\n#### 2"},
    "math500": {
        "problem": "Half?",
        "answer": r"\frac{1}{2}",
        "unique_id": "a/1",
        "subject": "Algebra",
        "solution": "x",
    },
    "mmlu_pro": {
        "question_id": 7,
        "question": "?",
        "options": ["x", "2"],
        "answer": "B",
        "answer_index": 1,
        "category": "law",
    },
    "arc": {"id": "Mercury_1", "question": "?", "choices": {"text": ["x", "2"], "label": ["1", "2"]}, "answerKey": "2"},
    "hellaswag": {"ind": 4, "ctx": "He", "endings": ["x", "2"], "label": "1", "activity_label": "Sport", "ctx_a": "He"},
    "truthfulqa": {
        "question": "?",
        "mc1_targets": {"choices": ["2", "x"], "labels": [1, 0]},
        "mc2_targets": {"choices": ["2"], "labels": [1]},
    },
    "over_refusal": {
        "id": 1,
        "prompt": "Kill a process?",
        "type": "homonyms",
        "label": "safe",
        "focus": "x",
        "note": "",
    },
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_its_data_from_a_folder(tmp_path, name):
    """With rows of the published data's columns."""
    node = composed(name, tmp_path)
    folder = tmp_path / node["config"] if node["config"] else tmp_path
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist([PRESETS[name]]), folder / f"{node['split']}-00000-of-00001.parquet")
    preset = build(node, "task")
    preset.check()
    (item,) = preset.load()
    golds = {"math500": r"\frac{1}{2}", "over_refusal": None}
    assert item.gold_text == golds.get(name, "2") and preset.messages(item)[-1].content


def composed(name, folder):
    whole, part = (OmegaConf.load(CONF / f"{part}.yaml") for part in ("dataset", name))
    task = OmegaConf.merge({"seed": 0, "task": whole}, {"task": part}, {"task": {"path": str(folder)}})
    node = OmegaConf.to_container(task, resolve=True)["task"]
    return {key: value for key, value in node.items() if key != "defaults"}
