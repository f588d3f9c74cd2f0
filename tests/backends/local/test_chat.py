"""All that is said reaches the model, in the form that its chat template wants."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest

pytest.importorskip("transformers")

from templates import DEEPSEEK_R1, DEEPSEEK_V3, GEMMA4, GLM, LLAMA3, MISTRAL, PARTS, PHI3, QWEN3, chat_of

from mindgap.backends.local.engine import Engine
from mindgap.backends.local.scoring import loglikelihood
from mindgap.backends.local.session import generate
from mindgap.core.errors import PromptError
from mindgap.core.records import Decoding, Message, OptionsRequest, Request

SYSTEM, USER = Message("system", "Be kind."), Message("user", "Hi")
SHOTS = [Message("user", "Two and two?"), Message("assistant", "Four.")]
ALL = {
    "phi3": PHI3,
    "mistral": MISTRAL,
    "llama3": LLAMA3,
    "parts": PARTS,
    "qwen3": QWEN3,
    "glm": GLM,
    "v3": DEEPSEEK_V3,
    "gemma4": GEMMA4,
    "r1": DEEPSEEK_R1,
}


@pytest.fixture(scope="module")
def tokenizer(tiny: Any) -> Any:
    tokenizer = copy.deepcopy(tiny.engine.tokenizer)
    tokenizer.bos_token = "<|endoftext|>"  # its own is the mark before every turn
    return tokenizer


def test_the_models_own_template_is_used(tokenizer: Any) -> None:
    rendered = chat_of(tokenizer, tokenizer.chat_template).render([SYSTEM, USER])
    assert rendered == "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("template", ALL.values(), ids=ALL)
@pytest.mark.parametrize("messages", [[USER], [SYSTEM, USER], [SYSTEM, *SHOTS, USER], [SYSTEM]], ids=len)
def test_every_message_reaches_the_model(template: str, messages: list[Message], tokenizer: Any) -> None:
    chat = chat_of(tokenizer, template)
    rendered = chat.render(messages)
    assert all(rendered.count(message.content) == 1 for message in messages)
    assert chat.prompt(messages) == tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert chat.prompt(messages).count(tokenizer.bos_token_id) == ("bos_token" in template)


@pytest.mark.parametrize("template", [PHI3, MISTRAL], ids=["left out", "refused"])
def test_a_system_text_that_the_template_would_lose_heads_the_first_user_turn(
    template: str, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chat = chat_of(tokenizer, template)
    merged = Message("user", "Be kind.\n\nHi")
    with caplog.at_level(logging.WARNING):
        assert chat.render([SYSTEM, USER]) == chat.render([merged])
        chat.render([SYSTEM, Message("user", "Bye")])
        assert chat.render([SYSTEM]) == chat.render([Message("user", "Be kind.")])
        assert chat.render([SYSTEM, *SHOTS, USER]) == chat.render(
            [Message("user", "Be kind.\n\nTwo and two?"), SHOTS[1], USER]
        )
    (record,) = caplog.records
    assert "system messages" in record.getMessage()


def test_a_system_text_that_also_stands_in_the_question_is_missed_all_the_same(tokenizer: Any) -> None:
    rendered = chat_of(tokenizer, PHI3).render([Message("system", "be brief"), Message("user", "Please be brief")])
    assert rendered.count("be brief") == 2


def test_contents_are_handed_over_in_parts_where_the_template_wants_parts(tokenizer: Any) -> None:
    assert chat_of(tokenizer, PARTS).render([SYSTEM, USER]) == "System: Be kind.<end>\nUser: Hi<end>\nAssistant:"


def test_parts_and_no_system_messages_are_no_matter_together(tokenizer: Any) -> None:
    template = PARTS.replace("{{ message['role'] |", "{% if message['role'] == 'system' %}"
                             "{{ raise_exception('no') }}{% endif %}{{ message['role'] |")  # fmt: skip
    assert chat_of(tokenizer, template).render([SYSTEM, USER]) == "User: Be kind.\n\nHi<end>\nAssistant:"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('never on Sundays') }}", "never on Sundays"),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "leaves out user messages"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "leaves out user messages"),
        ("{% for m in messages %}{{ m.content | dictsort }}{% endfor %}", "does not take"),
        ("{% for m in messages %}{{ m['content'][0] }}{% endfor %}", "leaves out user messages"),
        ("{% if %}", "does not take"),
    ],
)
def test_what_no_form_saves_is_refused_in_a_sentence(template: str, says: str, tokenizer: Any) -> None:
    with pytest.raises(PromptError, match=says):
        chat_of(tokenizer, template).render([USER])


def test_a_text_that_a_template_alters_is_refused_by_its_name(tokenizer: Any) -> None:
    template = "{% for m in messages %}{{ m.content | replace('<', '&lt;') }}{% endfor %}"
    chat = chat_of(tokenizer, template)
    assert chat.render([USER]) == "Hi"
    with pytest.raises(PromptError, match="user message 'a < b'"):
        chat.render([Message("user", "a < b")])


def test_thoughts_of_earlier_turns_may_be_left_out(tokenizer: Any) -> None:
    messages = [USER, Message("assistant", "<think>\nA greeting.\n</think>\n\nHello."), USER]
    rendered = chat_of(tokenizer, QWEN3).render(messages)
    assert "Hello." in rendered
    assert "A greeting." not in rendered


def test_a_request_that_the_template_refuses_fails_alone(small_model: Any) -> None:
    tokenizer = copy.deepcopy(small_model.tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("m['content']", "m['content'] | replace('z', '')")
    engine = Engine(small_model.model, tokenizer, max_rows=4)
    messages = [(Message("user", text),) for text in ("Hello", "lazy")]
    replies = dict(generate(engine, [Request("s", asked, Decoding(3, 0), 0) for asked in messages]))
    assert replies[0].error is None
    assert "user message 'lazy'" in (replies[1].error or "")
    scores = dict(loglikelihood(engine, [OptionsRequest("s", asked, ("yes", "no")) for asked in messages]))
    assert len(scores[0].logprobs) == 2
    assert "user message 'lazy'" in (scores[1].error or "")


def test_a_model_without_a_template_gets_labelled_turns(tokenizer: Any) -> None:
    assert chat_of(tokenizer, None).render([SYSTEM, USER]) == "System: Be kind.\n\nUser: Hi\n\nAssistant:"
