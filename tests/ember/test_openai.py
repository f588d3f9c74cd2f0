"""OpenAI's client and litellm are served too, with a controller where one is given."""

from __future__ import annotations

from typing import Any

import pytest

openai = pytest.importorskip("openai")

MESSAGES = [{"role": "user", "content": "Tell me of funny boats."}]
GREEDY = {"temperature": 0, "max_tokens": 10}


@pytest.fixture(params=["/v1", "/api/inference/v1"])
def client(server: Any, request: pytest.FixtureRequest) -> Any:
    """Under both addresses: the hosted service answered OpenAI's client under its own."""
    return openai.OpenAI(api_key="any", base_url=server.url + request.param, max_retries=0)


def controller(server: Any) -> dict[str, Any]:
    feature = {**server.service.features.described(3)}
    chosen = {"uuid": feature["id"], "label": feature["label"], "index_in_sae": 3}
    return {"interventions": [{"mode": "nudge", "features": {"features": [chosen]}, "value": 3.0}]}


def test_completions_streams_usage_and_choices(client: Any, server: Any) -> None:
    reply = client.chat.completions.create(model="small", messages=MESSAGES, **GREEDY)
    text = reply.choices[0].message.content
    assert reply.usage.completion_tokens == 10
    assert "alias" not in reply.system_fingerprint
    chunks = list(
        client.chat.completions.create(
            model="small", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **GREEDY
        )
    )
    assert "".join(chunk.choices[0].delta.content for chunk in chunks if chunk.choices) == text
    assert chunks[-1].usage == reply.usage
    parts = [{"role": "user", "content": [{"type": "text", "text": MESSAGES[0]["content"]}]}]
    assert client.chat.completions.create(model="small", messages=parts, **GREEDY).choices[0].message.content == text
    sampled = client.chat.completions.create(model="small", messages=MESSAGES, n=3, seed=5, max_tokens=10)
    alone = client.chat.completions.create(model="small", messages=MESSAGES, seed=5, max_tokens=10)
    assert sampled.choices[0].message.content == alone.choices[0].message.content
    assert len({choice.message.content for choice in sampled.choices}) == 3


def test_a_controller_steers(client: Any, server: Any) -> None:
    plain, steered = (
        client.chat.completions.create(model="small", messages=MESSAGES, extra_body=more, **GREEDY)
        for more in ({}, {"controller": controller(server)})
    )
    assert plain.choices[0].message.content != steered.choices[0].message.content


def test_models_say_what_they_really_are(client: Any, server: Any) -> None:
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {"small", "meta-llama/Meta-Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"}
    llama = client.models.retrieve("meta-llama/Llama-3.3-70B-Instruct")
    assert llama.alias_of == "small"
    assert llama.identity == models["small"].identity == server.service.endpoint.identity
    assert models["small"].alias_of is None


def test_mistakes_are_told_in_openais_form(server: Any) -> None:
    client = openai.OpenAI(api_key="any", base_url=f"{server.url}/v1", max_retries=0)
    with pytest.raises(openai.NotFoundError, match="Served here: small") as missing:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="presence_penalty") as unsupported:
        client.chat.completions.create(model="small", messages=MESSAGES, presence_penalty=1)
    assert (unsupported.value.param, unsupported.value.code) == ("presence_penalty", "unsupported_parameter")
    with pytest.raises(openai.BadRequestError, match="up to 4096"):
        client.chat.completions.create(model="small", messages=MESSAGES, max_tokens=5000)


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
REFUSED: dict[str, Any] = {
    "tools": [TOOL],
    "tool_choice": "required",
    "functions": [TOOL["function"]],
    "function_call": {"name": "f"},
    "response_format": {"type": "json_object"},
    "logprobs": True,
    "top_logprobs": 5,
    "logit_bias": {"5": 1},
    "frequency_penalty": 0.5,
    "presence_penalty": -1,
    "repetition_penalty": 1.1,
    "top_k": 5,
    "min_p": 0.1,
    "modalities": ["text", "audio"],
    "temprature": 0,
    "n": 0,
    "seed": "x",
    "max_tokens": 0,
    "stop": 3,
}


def test_a_setting_is_answered_or_refused_and_never_ignored(server: Any) -> None:
    client = openai.OpenAI(api_key="any", base_url=f"{server.url}/v1", max_retries=0)
    for name, value in REFUSED.items():
        with pytest.raises(openai.BadRequestError, match=name) as refused:
            client.chat.completions.create(model="small", messages=MESSAGES, extra_body={name: value})
        assert refused.value.param is not None and refused.value.param.split(".")[0] == name
        assert refused.value.type == "invalid_request_error"
    called = [{"role": "assistant", "content": "", "tool_calls": [{"id": "1", **TOOL}]}, *MESSAGES]
    for messages in (called, [{"role": "tool", "content": "3", "tool_call_id": "1"}]):
        with pytest.raises(openai.BadRequestError, match="messages"):
            client.chat.completions.create(model="small", messages=messages)
    neutral: dict[str, Any] = {
        "frequency_penalty": 0,
        "logit_bias": {},
        "logprobs": False,
        "tools": [],
        "tool_choice": "none",
        "n": 1,
        "response_format": {"type": "text"},
        "user": "me",
        "metadata": {"a": "b"},
        "store": False,
        "stop": [],
    }
    plain = client.chat.completions.create(model="small", messages=MESSAGES, **GREEDY)
    same = client.chat.completions.create(model="small", messages=MESSAGES, **GREEDY, extra_body=neutral)
    assert same.choices[0].message.content == plain.choices[0].message.content
    named, old = (
        client.chat.completions.create(
            model="small", messages=[{"role": role, "content": "Be brief."}, *MESSAGES], **GREEDY
        )
        for role in ("developer", "system")
    )
    assert named.choices[0].message.content == old.choices[0].message.content


def test_litellm(server: Any) -> None:
    litellm = pytest.importorskip("litellm")
    settings = {"model": "openai/small", "api_base": f"{server.url}/v1", "api_key": "any", "messages": MESSAGES}
    plain = litellm.completion(**settings, **GREEDY)
    steered = litellm.completion(**settings, **GREEDY, extra_body={"controller": controller(server)})
    assert plain.choices[0].message.content != steered.choices[0].message.content
    streamed = litellm.completion(**settings, **GREEDY, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == plain.choices[0].message.content
    drawn = {"n": 2, "seed": 5, "max_completion_tokens": 10}
    choices = litellm.completion(**settings, **drawn).choices
    parts = list(litellm.completion(**settings, **drawn, stream=True, stream_options={"include_usage": True}))
    joined = ["", ""]
    for choice in (choice for chunk in parts for choice in chunk.choices):
        joined[choice.index] += choice.delta.content or ""
    assert joined == [choice.message.content for choice in choices] and joined[0] != joined[1]
    (usage,) = [chunk.usage for chunk in parts if getattr(chunk, "usage", None)]
    assert usage.completion_tokens == 20
    text = plain.choices[0].message.content
    stopped = litellm.completion(**settings, **GREEDY, stop=[text[3:5]])
    assert stopped.choices[0].message.content == text[: text.index(text[3:5])]
    for unsupported in ({"tools": [TOOL]}, {"logprobs": True, "top_logprobs": 3}):
        with pytest.raises(litellm.BadRequestError, match="not supported"):
            litellm.completion(**settings, **unsupported)
