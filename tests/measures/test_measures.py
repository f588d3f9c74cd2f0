"""Measures: what they say of a reply, what they refuse, and that nothing a user writes can lose a cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sweeps import KINDS, make_cell

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import ConfigError
from mindgap.core.measurement import Better, Range, Value
from mindgap.core.records import Record
from mindgap.measures.base import Measure, declared, measured
from mindgap.measures.classifier import Classifier
from mindgap.measures.pattern import Pattern
from mindgap.measures.readability import Readability
from mindgap.measures.standard import STANDARD
from mindgap.measures.words import WordList

SAMPLE = make_cell(Path("study"), KINDS[0], queries=("be funny",), items=1).records[0]
FAILED = replace(SAMPLE, response="", error="the server said no")


def reply(text: str) -> Record:
    return replace(SAMPLE, response=text)


def test_the_standard_yaml_names_the_standard_measures_in_their_order() -> None:
    node = composed(["tracker=none"], config_folder())["measures"]
    assert [build(entry, name) for name, entry in node.items()] == list(STANDARD)


@pytest.mark.parametrize("name", sorted(path.stem for path in (config_folder() / "measures").glob("*.yaml")))
def test_every_packaged_option_is_a_measure(name: str) -> None:
    node = composed(["tracker=none", f"measures=[{name}]"], config_folder())["measures"]
    for key, entry in node.items():
        assert declared(build(entry, key)).name == key


def test_a_word_list_counts_words_and_phrases_per_hundred_words() -> None:
    hedging = WordList("hedging", ("maybe", "I think"))
    assert hedging.value(reply("Maybe. I think it may be so, MAYBE not.")) == Value(100 * 3 / 9)
    assert hedging.value(reply("")) == Value(0.0)
    assert hedging.value(FAILED) == Value(None, "the server said no")


def test_a_pattern_is_found_or_not() -> None:
    refusal = Pattern("refusal", r"\bI can(no|')t\b")
    assert refusal.value(reply("Sorry, i cannot do that.")) == Value(1.0)
    assert refusal.value(reply("I can.")) == Value(0.0)
    with pytest.raises(ConfigError, match=r"measures\.bad\.pattern"):
        Pattern("bad", "(")


def test_readability_grows_with_sentences_and_words_and_is_missing_without_english() -> None:
    easy = Readability().value(reply("The cat sat. The dog ran. We had fun.")).value
    hard = (
        Readability()
        .value(
            reply("Interdisciplinary organizations systematically institutionalize administrative responsibilities.")
        )
        .value
    )
    assert easy is not None and hard is not None and easy < 2 < 12 < hard
    # 9 words, 3 sentences, 9 syllables
    assert easy == pytest.approx(0.39 * 3 + 11.8 * 1 - 15.59)
    assert Readability().value(reply("12 + 3 = 15")).missing == "no English words"


def test_a_classifier_gives_the_probability_of_its_label(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "you", "fool", "friend"]))
    transformers.BertTokenizer(str(vocabulary)).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, id2label={0: "fine", 1: "toxic"}, label2id={"fine": 0, "toxic": 1},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    toxicity = Classifier("toxicity", str(tmp_path), "toxic")
    fine = replace(toxicity, positive="fine")
    text = "you fool " * 50  # longer than the classifier can read
    probability, other = toxicity.value(reply(text)).value, fine.value(reply(text)).value
    assert probability is not None and other is not None and probability + other == pytest.approx(1)
    assert "has no label 'rude'; it has fine, toxic" in (replace(toxicity, positive="rude").value(SAMPLE).missing or "")
    assert "could not be loaded" in (Classifier("x", str(tmp_path / "no"), "toxic").value(SAMPLE).missing or "")


@dataclass(frozen=True)
class Fragile:
    """A user's measure: as long as the reply, but it fails on empty ones and forgets its own range."""

    name: str = "fragile"
    range: Range = (0, 10)
    better: Better = "neither"

    def value(self, sample: Record) -> Value | None:
        if sample.error:
            return None
        return Value(len(sample.response) / len(sample.response))


def test_a_measure_that_fails_loses_one_value_and_says_why() -> None:
    good, empty, failed = measured([reply("abc"), reply(""), FAILED], [Fragile()])
    assert good.measures == {"fragile": Value(1.0)}
    assert empty.measures["fragile"].missing == "fragile failed: ZeroDivisionError: division by zero"
    assert failed.measures == {}


def test_a_value_outside_the_declared_range_is_missing() -> None:
    (record,) = measured([reply("abc")], [replace(Fragile(), range=(2, 3))])
    assert record.measures["fragile"].missing == "fragile gave 1, which is outside its range"


@pytest.mark.parametrize(
    ("measure", "says"),
    [
        (replace(Fragile(), name="Two Words"), "cannot be a measure's name"),
        (replace(Fragile(), name="x_missing"), "not ending in _missing"),
        (replace(Fragile(), range=(3, 1)), "give the lowest value first"),
        (replace(Fragile(), better="more"), "choose higher, lower or neither"),  # type: ignore[arg-type]
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(measure: Measure, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        declared(measure)
