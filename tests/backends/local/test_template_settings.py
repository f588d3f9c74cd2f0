"""`model.template`: what a chat template can be told, and that answers under one setting are not those of another."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from templates import DEEPSEEK_R1, LLAMA3, PARTS, PHI3, QWEN3, chat_of

from mindgap.backends.local import LocalBackend
from mindgap.backends.local.template import known_settings
from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Message

USER = [Message("user", "Hi")]
DATED = LLAMA3.replace("{% for", "{% if not date is defined %}{% set date = strftime_now('%d') %}{% endif %}{% for", 1)


@pytest.fixture(scope="module")
def tokenizer(tiny: Any) -> Any:
    return tiny.engine.tokenizer


def test_a_model_that_can_leave_out_thinking_does_unless_it_is_asked_to_think(tokenizer: Any) -> None:
    off, on = chat_of(tokenizer, QWEN3), chat_of(tokenizer, QWEN3, enable_thinking=True)
    assert off.render(USER).endswith("assistant\n<think>\n\n</think>\n\n")
    assert on.render(USER).endswith("assistant\n")
    assert chat_of(tokenizer, QWEN3.replace("enable_thinking", "thinking")).render(USER) == off.render(USER)


def test_a_setting_changes_the_content_keys_and_saying_the_default_does_not(tokenizer: Any) -> None:
    off, on = chat_of(tokenizer, QWEN3), chat_of(tokenizer, QWEN3, enable_thinking=True)
    assert off.identity != on.identity
    assert off.identity == chat_of(tokenizer, QWEN3, enable_thinking=False).identity


@pytest.mark.parametrize("template", [LLAMA3, None, PHI3, PARTS], ids=["usual", "none", "merged", "parts"])
def test_only_where_the_template_alone_makes_the_prompt_keys_are_those_of_versions_before(
    template: str | None, tokenizer: Any
) -> None:
    assert (chat_of(tokenizer, template).identity == "") == (template == LLAMA3)


def test_settings_that_a_template_does_not_know_are_refused_with_those_that_it_does(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match=r"^model\.template\.enable_thinkin: .*; it has enable_thinking$"):
        chat_of(tokenizer, QWEN3, enable_thinkin=True)
    with pytest.raises(ConfigError, match="it has none"):
        chat_of(tokenizer, LLAMA3, enable_thinking=False)
    with pytest.raises(ConfigError, match="has no chat template"):
        chat_of(tokenizer, None, enable_thinking=False)
    with pytest.raises(ConfigError, match=r"model\.template\.messages"):
        chat_of(tokenizer, QWEN3, messages=[])


def test_settings_are_read_from_the_template_and_not_from_a_list_of_names() -> None:
    assert known_settings(DATED) == {"date"}
    assert known_settings(DEEPSEEK_R1) == frozenset()
    marked = "{% generation %}{{ tone }}{% endgeneration %}{% for m in messages %}{% continue %}{% endfor %}"
    assert known_settings(marked) == {"tone"}


def test_any_setting_reaches_the_template(tokenizer: Any) -> None:
    assert chat_of(tokenizer, "{{ date }}" + LLAMA3, date="Monday").render(USER).startswith("Monday")


def test_a_model_is_opened_with_its_settings_and_each_setting_has_answers_of_its_own(
    small_model: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path / "cache"))
    tokenizer = copy.deepcopy(small_model.tokenizer)
    tokenizer.chat_template = QWEN3
    small_model.model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    node = {"name": "small", "hf_id": str(tmp_path / "model")}
    specs = [build({**node, "template": t}, "model", ModelSpec) for t in (None, {"enable_thinking": True})]
    usual, thinking = (LocalBackend().open(spec) for spec in specs)
    assert specs[0] != specs[1]
    assert thinking.engine.chat.settings == {"enable_thinking": True}
    assert usual.identity != thinking.identity
    wrong = build({**node, "template": {"enable_thinkin": True}}, "model", ModelSpec)
    (missing,) = LocalBackend().lacks(wrong, frozenset({"generate"}))  # before any weights are read
    assert missing == "a setting enable_thinkin of its chat template (model.template); it has enable_thinking"
    assert usual.identity.endswith('{"enable_thinking": false}')


def test_the_embedded_models_keys_are_those_of_versions_before(tiny: Any) -> None:
    assert tiny.identity.endswith("/float32")
