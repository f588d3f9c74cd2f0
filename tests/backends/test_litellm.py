"""The litellm backend: the real client against a scripted server on loopback."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from chat_server import ChatServer, Reply

from mindgap.backends.base import Capability, Endpoint
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.edits import AddVector
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, OptionsRequest, Request

MODEL = ModelSpec(name="some", litellm_id="openai/some-model")
GENERATE: frozenset[Capability] = frozenset({"generate"})


@pytest.fixture
def endpoint(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 0.01)
    return LiteLLMBackend(api_base=chat_server.url, key_env=None, concurrency=5, max_retries=1).open(MODEL)


def request(text: str = "Hi.", **settings: Any) -> Request:
    messages = (Message("system", "Be brief."), Message("user", text))
    return Request("s", messages, settings.pop("decoding", Decoding(20, 0.6, 0.9)), seed=2**40 + 17, **settings)


def test_the_request_goes_out_as_it_is_and_comes_back_counted(endpoint: Endpoint, chat_server: ChatServer) -> None:
    chat_server.script(Reply("Hello."))
    ((_, completion),) = endpoint.generate([request()])
    assert (completion.text, completion.finish_reason, completion.error) == ("Hello.", "stop", None)
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 3)
    body, _ = chat_server.asked[0]
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}]
    assert (body["model"], body["max_tokens"], body["temperature"], body["top_p"]) == ("some-model", 20, 0.6, 0.9)
    assert 0 <= body["seed"] < 2**31


PROGRAM = """
import sys
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Request
endpoint = LiteLLMBackend(api_base=sys.argv[1], key_env=None).open(ModelSpec(name="some", litellm_id=sys.argv[2]))
request = Request("s", (Message("user", "Hi."),), Decoding(20), seed=0)
print([completion.text for _, completion in endpoint.generate([request])], "litellm" in sys.modules)
"""


@pytest.mark.parametrize(("name", "imported"), [("openai/some-model", False), ("together_ai/some-model", True)])
def test_a_server_that_is_asked_directly_does_without_litellm(
    name: str, imported: bool, chat_server: ChatServer
) -> None:
    chat_server.script(Reply("Hello."))
    command = [sys.executable, "-c", PROGRAM, chat_server.url, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == f"['Hello.'] {imported}\n"


def test_greedy_requests_differ_in_nothing_that_does_not_matter(endpoint: Endpoint, chat_server: ChatServer) -> None:
    list(endpoint.generate([request(decoding=Decoding(20, 0.0, 0.5)), request(decoding=Decoding(20, 0.0, 0.9))]))
    (first, _), (second, _) = chat_server.asked
    assert first == second
    assert first["temperature"] == 0


def test_completions_belong_to_their_requests_at_bounded_concurrency(
    endpoint: Endpoint, chat_server: ChatServer
) -> None:
    chat_server.answer = lambda body: Reply(body["messages"][1]["content"] + "!", delay=0.02)
    requests = [request(f"text {number}") for number in range(30)]
    texts = {index: completion.text for index, completion in endpoint.generate(requests)}
    assert texts == {number: f"text {number}!" for number in range(30)}
    assert 1 < chat_server.most_at_once <= 5


def test_a_reply_cut_at_the_limit_says_so(endpoint: Endpoint, chat_server: ChatServer) -> None:
    chat_server.script(Reply("Hel", finish_reason="length"))
    ((_, completion),) = endpoint.generate([request()])
    assert (completion.text, completion.finish_reason) == ("Hel", "length")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=500), "(after 2 calls)"),
        (Reply(status=401), "scripted 401"),
        (Reply(body="<html>"), "(after 2 calls)"),
        (Reply("", finish_reason="content_filter"), "content filter"),
    ],
)
def test_a_failed_request_is_an_error_with_its_reason(
    endpoint: Endpoint, chat_server: ChatServer, reply: Reply, reason: str
) -> None:
    chat_server.script(reply)
    ((_, completion),) = endpoint.generate([request()])
    assert (completion.text, completion.finish_reason) == ("", "error")
    assert completion.error is not None
    assert reason in completion.error


def test_a_refusal_is_what_the_model_said(endpoint: Endpoint, chat_server: ChatServer) -> None:
    chat_server.script(Reply(None, refusal="I'd rather not."))
    ((_, completion),) = endpoint.generate([request()])
    assert (completion.text, completion.error) == ("I'd rather not.", None)


def test_unsteered_text_is_never_passed_off_as_steered(endpoint: Endpoint, chat_server: ChatServer) -> None:
    ((_, completion),) = endpoint.generate([request(edits=(AddVector(1, np.ones(4)),))])
    assert completion.error == "backend=litellm cannot steer inside the model"
    assert chat_server.asked == []


def test_identity_holds_model_and_server_and_no_secret(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    endpoint = LiteLLMBackend(api_base=chat_server.url, key_env="SOME_KEY").open(MODEL)
    host = chat_server.url.removeprefix("http://")
    assert endpoint.identity == f"litellm/openai/some-model@{host}"
    assert "sk-very-secret" not in repr(endpoint)
    assert endpoint.can == {"generate"}


def test_lacks_says_all_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    backend = LiteLLMBackend(key_env="SOME_KEY")
    needs: frozenset[Capability] = frozenset({"generate", "residual", "features"})
    name, key, beyond = backend.lacks(ModelSpec(name="some"), needs)
    assert "model.litellm_id" in name
    assert "SOME_KEY" in key
    assert "SAE features and steering vectors" in beyond
    monkeypatch.setenv("SOME_KEY", "x")
    assert backend.lacks(MODEL, GENERATE) == []
    with pytest.raises(UnavailableError, match=r"model\.litellm_id"):
        backend.open(ModelSpec(name="some"))


@pytest.mark.parametrize("name", ["openai/some-model", "together_ai/some-model"], ids=["directly", "through litellm"])
@pytest.mark.parametrize(
    "reply",
    [
        Reply("Four.", beside={"reasoning_content": "Let me see."}),
        Reply("<think>\nLet me see.\n</think>\n\nFour."),
        Reply("Let me see.\n</think>\n\nFour."),
    ],
    ids=["beside", "within", "opened by the server"],
)
def test_a_thought_is_kept_beside_the_reply(name: str, reply: Reply, chat_server: ChatServer) -> None:
    chat_server.script(reply)
    endpoint = LiteLLMBackend(api_base=chat_server.url, key_env=None).open(ModelSpec("some", litellm_id=name))
    ((_, completion),) = endpoint.generate([request()])
    assert (completion.thought, completion.text, completion.no_reply) == ("Let me see.", "Four.", None)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(None, finish_reason="length", beside={"reasoning": "Let me see"}),
        Reply("<think>\nLet me see", finish_reason="length"),
        Reply("<think>\nLet me see"),
    ],
    ids=["beside", "within", "ended"],
)
def test_a_thought_without_an_end_is_no_reply(reply: Reply, endpoint: Endpoint, chat_server: ChatServer) -> None:
    chat_server.script(reply)
    ((_, completion),) = endpoint.generate([request()])
    assert (completion.thought, completion.text, completion.error) == ("Let me see", "", None)
    assert (completion.finish_reason, completion.no_reply) == ("thought", "unfinished thought")


def test_settings_of_the_chat_template_go_to_servers_that_take_them(chat_server: ChatServer) -> None:
    backend = LiteLLMBackend(api_base=chat_server.url, key_env=None)
    thinking = ModelSpec("some", litellm_id="hosted_vllm/some-model", template={"enable_thinking": True})
    usual = ModelSpec("some", litellm_id="hosted_vllm/some-model")
    for model in (thinking, usual):
        list(backend.open(model).generate([request()]))
    (asked, _), (without, _) = chat_server.asked
    assert asked["chat_template_kwargs"] == {"enable_thinking": True}
    assert "chat_template_kwargs" not in without
    assert backend.open(thinking).identity != backend.open(usual).identity
    (missing,) = LiteLLMBackend(key_env=None).lacks(thinking, GENERATE)
    assert "model.template" in missing


def test_log_likelihoods_are_refused(endpoint: Endpoint) -> None:
    with pytest.raises(UnavailableError, match="text only"):
        endpoint.loglikelihood([OptionsRequest("s", (Message("user", "x"),), ("a",))])


def test_settings_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"backend\.concurrency must be at least 1, not 0"):
        LiteLLMBackend(concurrency=0)
