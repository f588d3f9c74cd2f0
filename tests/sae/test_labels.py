"""Labels name what contexts share, are the same every time, and an LLM that fails costs no label there was."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from chat_server import ChatServer, Reply, chat_server  # noqa: F401
from small_catalogue import context, feature, small_catalogue

from mindgap.core.errors import ConfigError
from mindgap.sae.catalogue import build
from mindgap.sae.labels import STATISTICS, Labeller, labelled, marked
from mindgap.sae.words import distinctive, split_words, stem


def test_a_label_names_words_promoted_tokens_and_manners() -> None:
    catalogue = labelled(small_catalogue())
    assert catalogue.labels[0] == "funny · near joke · → haha, laugh · when asked to be funny"
    assert catalogue.labels[1] == "boat · → ship"
    assert catalogue.labels[2] == "figures"
    assert catalogue.labels[3] == "comma"
    assert catalogue.labels[4] == ""
    assert catalogue.feature(0).labeller == STATISTICS
    assert catalogue.feature(0).words[:2] == ("funny", "joke")


def test_labelling_again_changes_nothing() -> None:
    once = labelled(small_catalogue())
    assert labelled(once).labels == once.labels == labelled(small_catalogue()).labels


def test_a_feature_without_anything_in_common_is_not_given_a_pattern() -> None:
    mixed = [context("an apple fell down", "apple"), context("the moon is far", "moon"), context("we run fast", "run")]
    others = [feature([context(f"word{n} and {w}", w) for n in range(3)]) for w in ("apple", "moon", "run")]
    catalogue = labelled(build([feature(mixed), *others], sae="x@0", texts=1, tokens=1))
    assert catalogue.labels[0] == "no clear pattern"


def test_words_in_several_tokens_are_read_whole_and_chat_templates_are_not_read() -> None:
    row = {"pieces": ["<|im_end|>", " a", " hil", "arious", " joke", "."], "at": 3, "activation": 2.0}
    made = build([feature([{**row, "activations": [255, 0, 0, 255, 0, 0]}])], sae="x@0", texts=1, tokens=1)
    activating, others = split_words(made.feature(0).contexts[0])
    assert activating == ["hilarious"]
    assert others == ["a", "joke"]


def test_frequent_words_are_not_distinctive_and_rare_chance_words_less_than_steady_ones() -> None:
    background = Counter({"the": 10_000, "joke": 30, "zebra": 1, "of": 5_000})
    scores = dict(distinctive(Counter({"the": 16, "joke": 8, "zebra": 1}), background))
    assert scores["joke"] > scores["zebra"] > scores["the"]
    assert scores["the"] < 1.64 < scores["joke"]


@pytest.mark.parametrize(
    ("form", "other"),
    [("humor", "humorous"), ("humour", "humor"), ("joke", "jokes"), ("laughing", "laugh"), ("stories", "story")],
)
def test_forms_of_a_word_have_one_stem(form: str, other: str) -> None:
    assert stem(form) == stem(other)


def test_the_activating_token_is_marked() -> None:
    assert marked(small_catalogue().feature(1).contexts[0]) == "the old «boat» sailed the sea and sank"


@pytest.fixture
def labeller(chat_server: ChatServer) -> Labeller:  # noqa: F811
    return Labeller("openai/some-model", api_base=chat_server.url, key_env=None, max_retries=0)


def test_an_llm_sees_the_evidence_and_its_phrase_becomes_the_label(
    chat_server: ChatServer,  # noqa: F811
    labeller: Labeller,
) -> None:
    chat_server.answer = lambda body: Reply('"jokes and humor"' if "funny" in json.dumps(body) else "something else.")
    catalogue = labeller.relabelled(labelled(small_catalogue()), lambda done, so_far: None)
    assert catalogue.labels == ("jokes and humor", "something else", "something else", "something else", "")
    assert catalogue.feature(0).labeller == labeller.api.identity
    asked = next(body["messages"][0]["content"] for body, _ in chat_server.asked if "funny" in json.dumps(body))
    assert "That is a «funny» joke" in asked
    assert "haha, laugh" in asked
    assert "be funny" in asked


def test_what_an_llm_does_not_label_keeps_its_label_and_alone_is_asked_again(
    chat_server: ChatServer,  # noqa: F811
    labeller: Labeller,
) -> None:
    chat_server.answer = lambda body: Reply(status=500) if "boat" in json.dumps(body) else Reply("a phrase")
    first = labeller.relabelled(labelled(small_catalogue()), lambda done, so_far: None)
    assert first.labels[0] == "a phrase"
    assert first.feature(1).label == labelled(small_catalogue()).labels[1]
    assert first.feature(1).labeller == STATISTICS
    chat_server.asked.clear()
    chat_server.answer = lambda body: Reply("boats")
    assert labeller.relabelled(first, lambda done, so_far: None).labels[1] == "boats"
    assert len(chat_server.asked) == 1


def test_an_llm_that_gives_no_label_at_all_is_an_error_with_its_reason(
    chat_server: ChatServer,  # noqa: F811
    labeller: Labeller,
) -> None:
    chat_server.answer = lambda body: Reply(status=401)
    with pytest.raises(ConfigError, match="scripted 401"):
        labeller.relabelled(labelled(small_catalogue()), lambda done, so_far: None)
