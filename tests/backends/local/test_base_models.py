"""A model without a chat template is given a transcript, and its reply ends where the next turn begins."""

from __future__ import annotations

import copy
import itertools
import logging
import queue
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local import LocalEndpoint  # noqa: E402
from mindgap.backends.local.chat import Chat  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.core.records import Decoding, Message, OptionsRequest, Request  # noqa: E402
from mindgap.ember.worker import Generation, Piece, Worker  # noqa: E402

SYSTEM, USER = Message("system", "Be kind."), Message("user", "Is tea hot?")


@pytest.fixture(scope="module")
def tokenizer(tiny: Any) -> Any:
    tokenizer = copy.deepcopy(tiny.engine.tokenizer)
    tokenizer.chat_template = None
    return tokenizer


@pytest.fixture(scope="module")
def parrot(small_model: SimpleNamespace) -> Engine:
    """A model in which every character has one that follows it: after a colon it always says `CHAIN`, and again."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = copy.deepcopy(small_model.tokenizer)
    tokenizer.chat_template = None
    width = 80
    config = LlamaConfig(
        vocab_size=width,
        hidden_size=width,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    follows = torch.zeros(width, width)
    ids = tokenizer(f"{CHAIN}:", add_special_tokens=False)["input_ids"]
    for before, after in itertools.pairwise(ids):
        follows[after, before] = 1
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(width))
        model.lm_head.weight.copy_(follows)
    return Engine(model, tokenizer, max_rows=4)


CHAIN = ": No.\nUser"


def test_messages_become_a_transcript_and_that_is_said_once(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(tokenizer)
    with caplog.at_level(logging.WARNING):
        rendered = chat.render([SYSTEM, Message("user", "Hi"), Message("assistant", "Hello."), USER])
        chat.render([USER])
    assert rendered == "System: Be kind.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: Is tea hot?\n\nAssistant:"
    (record,) = caplog.records
    assert "no chat template" in record.getMessage()


def test_options_are_the_tokens_of_running_text(tokenizer: Any) -> None:
    chat = Chat(tokenizer)
    prompt, options = chat.with_replies([USER], ["Yes", " No", "", "\n"])
    for text, option in zip(("Yes", "No"), options[:2], strict=True):
        whole = tokenizer(f"User: Is tea hot?\n\nAssistant: {text}", add_special_tokens=False)["input_ids"]
        assert [*prompt, *option] == [tokenizer.bos_token_id, *whole]
    assert options[2:] == [[], []]


def test_a_tokenizer_that_puts_a_space_before_every_text_does_not_put_two() -> None:
    """As those of Llama 2 and Mistral do: a text's first word is cut as if a space stood before it."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = list(dict.fromkeys(["<s>", *"▁Yes User: Hi \nAssistant", "Ye", "Yes", "▁Yes"]))
    merges = [("Y", "e"), ("Ye", "s"), ("▁", "Yes")]
    model = models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges)
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Replace("▁", " ")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")
    assert tokenizer.tokenize(" Yes") == ["▁", "▁Yes"]
    (option,) = Chat(tokenizer).with_replies([Message("user", "Hi")], ["Yes"])[1]
    assert tokenizer.convert_ids_to_tokens(option) == ["▁Yes"]


def test_a_reply_ends_where_the_next_turn_begins(parrot: Engine) -> None:
    ((_, reply),) = generate(parrot, [Request("s", (USER,), Decoding(60, 0), 0)])
    assert (reply.text, reply.finish_reason, reply.no_reply) == ("No.", "stop", None)
    assert reply.completion_tokens == len(" No.\nUser:")
    assert parrot.tokenizer.decode(reply.tokens) == " No."
    ((_, cut),) = generate(parrot, [Request("s", (USER,), Decoding(6, 0), 0)])
    assert (cut.text, cut.finish_reason) == ("No.\nU", "length")


def test_a_reply_to_a_client_ends_there_too(parrot: Engine) -> None:
    pieces: queue.Queue[Piece] = queue.Queue()
    with Worker(parrot, queue=4) as worker:
        prompt = parrot.chat.prompt([USER])
        worker.submit([Generation(prompt, Decoding(60, 0), 0, pieces.put, whole=True)])
        piece = pieces.get(timeout=60)
    assert (piece.text.strip(), piece.finish_reason) == ("No.", "stop")


def test_options_are_scored_after_their_space(parrot: Engine) -> None:
    ((_, scores),) = LocalEndpoint(parrot, "x").loglikelihood([OptionsRequest("x", (USER,), ("No.", "On."))])
    assert scores.tokens == (4, 4)
    assert scores.logprobs[0] > scores.logprobs[1] + 5


def test_a_model_with_a_template_may_say_user(tiny: Any) -> None:
    chat = tiny.engine.chat
    tokens = chat.encode("One.\nUser: Two.")
    assert not chat.at_next_turn(tokens)
    assert chat.read(chat.prompt([USER]), tokens)[0].reply == "One.\nUser: Two."
