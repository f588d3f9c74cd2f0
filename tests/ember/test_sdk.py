"""Every public method of the real SDK's two clients, against a real server."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import httpx
import numpy as np
import pytest

goodfire = pytest.importorskip("goodfire")

from mindgap.core.edits import Declined  # noqa: E402
from mindgap.core.records import Decoding, Message, Query, Request  # noqa: E402
from mindgap.steering.autosteer import AutoSteer  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.storage.store import Store  # noqa: E402

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct"
ASKED = [{"role": "user", "content": "Tell me of funny boats."}]
ANSWERED = [*ASKED, {"role": "assistant", "content": "They sail, and laugh."}]
pytestmark = [pytest.mark.usefixtures("loop"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def client(server: Any) -> Any:
    return goodfire.Client("any", base_url=server.url)


@pytest.fixture
def async_client(server: Any) -> Any:
    return goodfire.AsyncClient("any", base_url=server.url)


def greedy(client: Any, model: Any, **more: Any) -> Any:
    settings = {"temperature": 0.0, "max_completion_tokens": 12, "system_prompt": "", **more}
    return client.chat.completions.create(ASKED, model, **settings)


def local_text(server: Any, edits: tuple[Any, ...] = (), seed: int = 0, temperature: float = 0.0) -> str:
    """What the endpoint itself answers, asked in the model's thread."""
    from mindgap.ember.inspection import once

    messages = tuple(Message(message["role"], message["content"]) for message in ASKED)  # type: ignore[arg-type]
    request = Request("x", messages, Decoding(12, temperature, 0.9), seed, edits)
    work = once(lambda: list(server.service.endpoint.generate([request])))
    ((_, completion),) = server.service.worker.run(work).result()
    return str(completion.text)


def nudged(client: Any, amount: float = 2.0) -> Any:
    variant = goodfire.Variant(MODEL)
    variant.set(client.features.search("boats", MODEL, top_k=2)[0], amount)
    return variant


def edit_of(server: Any, variant: Any) -> Any:
    from mindgap.steering.features import feature_edit

    ((feature, amount),) = variant.edits.as_dict().items()
    return feature_edit(server.service.endpoint, feature.index_in_sae, amount)


def test_a_reply_is_that_of_the_local_backend_plain_and_steered(client: Any, server: Any) -> None:
    plain = greedy(client, MODEL)
    assert plain.choices[0].message["content"] == local_text(server)
    variant = nudged(client)
    steered = greedy(client, variant).choices[0].message["content"]
    assert steered == local_text(server, (edit_of(server, variant),))
    assert steered != local_text(server)
    assert "alias" in plain.system_fingerprint and "small" in plain.system_fingerprint
    assert plain.choices[0].finish_reason in ("stop", "length")


def test_the_same_seed_samples_the_same_reply_and_that_of_the_local_backend(client: Any, server: Any) -> None:
    texts = [
        greedy(client, MODEL, temperature=0.9, top_p=0.9, seed=seed).choices[0].message["content"]
        for seed in (7, 7, 8, -3)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert texts == [local_text(server, (), seed, 0.9) for seed in (7, 7, 8, -3)]


def test_a_stream_is_the_reply_in_parts(client: Any) -> None:
    chunks = list(greedy(client, MODEL, stream=True))
    assert (
        "".join(chunk.choices[0].delta.content for chunk in chunks)
        == (greedy(client, MODEL).choices[0].message["content"])
    )
    assert len(chunks) > 3
    indices = [chunk.choices[0].gf_token_index for chunk in chunks]
    assert indices == sorted(set(indices))
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason is not None


def test_what_the_sdk_does_by_default_works(client: Any) -> None:
    """Its system prompt, 2048 tokens where the model has 1024, and stop strings of another model."""
    reply = client.chat.completions.create(ASKED, MODEL)
    assert reply.choices[0].finish_reason in ("stop", "length")


def test_a_stop_string_ends_the_reply_before_it(client: Any) -> None:
    whole = greedy(client, MODEL).choices[0].message["content"]
    stop = whole[5:7]
    cut = greedy(client, MODEL, stop=[stop])
    assert cut.choices[0].message["content"] == whole[: whole.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    streamed = "".join(chunk.choices[0].delta.content for chunk in greedy(client, MODEL, stop=stop, stream=True))
    assert streamed == whole[: whole.index(stop)]


def test_features_are_found_ranked_and_looked_up(client: Any, server: Any) -> None:
    nearest = client.features.search("boats and sails", MODEL, top_k=5)
    assert 1 <= len(nearest) <= 5
    first = nearest[0]
    again = client.features.lookup([first.index_in_sae], MODEL)[first.index_in_sae]
    assert (str(again.uuid), again.label) == (str(first.uuid), first.label)
    some = goodfire.FeatureGroup(list(client.features.lookup([3, 5, 7, 9], MODEL).values()))
    ranked = client.features.rerank(some, first.label, MODEL, top_k=3)
    relevance = server.service.endpoint.relevance(first.label)
    order = sorted([3, 5, 7, 9], key=lambda index: -relevance[index])[:3]
    assert [feature.index_in_sae for feature in ranked] == order
    near = client.features.neighbors(first, MODEL, top_k=4)
    assert len(near) == 4 and first.index_in_sae not in [feature.index_in_sae for feature in near]


def test_activations_are_the_saes_in_units_of_the_scale(client: Any, server: Any) -> None:
    matrix = client.features.activations(ANSWERED, MODEL)
    endpoint = server.service.endpoint
    text = ((Message("user", ASKED[0]["content"]),), ANSWERED[1]["content"])
    means = endpoint.feature_means([text])[0] / np.where(endpoint.scales > 0, endpoint.scales, np.inf)
    tokens = len(endpoint.engine.tokenizer(ANSWERED[1]["content"], add_special_tokens=False)["input_ids"])
    np.testing.assert_allclose(matrix[-tokens:, : endpoint.features].mean(0), means, atol=1e-4)


def test_inspect_sees_what_a_variant_does(client: Any) -> None:
    (feature,) = client.features.lookup([4], MODEL).values()
    pinned, unchanged = goodfire.Variant(MODEL), goodfire.Variant(MODEL)
    pinned.set(feature, 8.0)
    unchanged.set(feature, 0.0)
    plain, steered, same = (
        client.features.inspect(ANSWERED, model, features=feature, aggregate_by="max")
        for model in (MODEL, pinned, unchanged)
    )
    np.testing.assert_array_equal(same.matrix(), plain.matrix())
    assert [str(token) for token in steered.tokens] == [str(token) for token in plain.tokens]
    assert np.abs(steered.matrix() - plain.matrix()).max() > 0.5
    top = steered.top(k=1)
    assert top[0].feature.index_in_sae == 4 and top[0].feature.label == feature.label
    assert client.features.inspect(ANSWERED, MODEL).tokens[-1].inspect(k=3) is not None


def test_contrast_finds_what_tells_the_data_sets_apart(client: Any, server: Any) -> None:
    sad = [[*ASKED, {"role": "assistant", "content": f"no no no {n} no no"}] for n in range(3)]
    loud = [[*ASKED, {"role": "assistant", "content": f"YES WE CAN {n} YES"}] for n in range(3)]
    less, more = client.features.contrast(sad, loud, MODEL, top_k=4)
    back_more, back_less = client.features.contrast(loud, sad, MODEL, top_k=4)
    assert 1 <= len(more) <= 4
    assert [feature.index_in_sae for feature in more] == [feature.index_in_sae for feature in back_more]
    assert [feature.index_in_sae for feature in less] == [feature.index_in_sae for feature in back_less]
    endpoint = server.service.endpoint
    means = [
        endpoint.feature_means([((Message("user", ASKED[0]["content"]),), chat[1]["content"]) for chat in data]).mean(0)
        for data in (sad, loud)
    ]
    assert all(means[1][feature.index_in_sae] > means[0][feature.index_in_sae] for feature in more)


def test_auto_steer_gives_the_edits_of_the_local_backend(
    client: Any, server: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mindgap.steering.specific.behaviours_of_the_bank", lambda: ("be calm", "be loud"))
    edits = client.features.AutoSteer("be funny", MODEL)
    bench = SteeringBench(server.service.endpoint, Store(tmp_path / "fresh.sqlite"), 0)
    (local,) = AutoSteer().edits([Query("be funny", "")], bench)
    assert not isinstance(local, Declined)
    assert [(feature.index_in_sae, value) for feature, value in edits.as_dict().items()] == [
        (edit.feature, edit.offset) for edit in local
    ]
    assert [feature.label for feature in edits] == [edit.label for edit in local]
    variant = goodfire.Variant(MODEL)
    variant.set(edits)
    assert greedy(client, variant).choices[0].message["content"] == local_text(server, local)


def test_auto_conditional_and_contrastive_data_can_be_used_as_they_come(client: Any) -> None:
    condition = client.features.AutoConditional("be funny", MODEL)
    assert 1 <= len(condition) <= 3
    variant = nudged(client)
    variant.set_when(condition, {client.features.lookup([6], MODEL)[6]: 0.5})
    assert greedy(client, variant).choices[0].finish_reason in ("stop", "length")
    neutral, behaving = client.features.generate_contrastive_stimulus("be funny")
    assert len(neutral) == len(behaving) >= 1
    assert [message["content"] for message in neutral[0][:-1]] == [message["content"] for message in behaving[0][:-1]]
    assert all(chat[-1]["role"] == "assistant" for chat in (*neutral, *behaving))


def test_attribution_is_what_ablation_takes_away(client: Any, server: Any) -> None:
    """To first order: for features of little effect the logit changes by about what attribution says."""
    import torch

    from mindgap.ember.inspection import conversation
    from mindgap.steering.features import feature_edit

    endpoint = server.service.endpoint
    engine = endpoint.engine
    tokens = conversation(engine.chat, [Message(m["role"], m["content"]) for m in ANSWERED])  # type: ignore[arg-type]
    index = len(tokens) - 2
    attributed = client.features.attribute(ANSWERED, index, MODEL)
    assert attributed.num_input_tokens == len(tokens)
    values = [share.value for share in attributed.features]
    assert values == sorted(values, reverse=True) and values[-1] > 0
    assert attributed.features[0].feature is not None

    def logit(strength: float, feature: int) -> float:
        edit = feature_edit(endpoint, feature, 0.0, mode="ablate").scaled(strength)
        steering = engine.steering([(edit,)])
        steering.rows_are(torch.tensor([0]), response=False)
        with torch.inference_mode(), steering:
            logits = engine.model(input_ids=torch.tensor([tokens[:index]]), use_cache=False).logits[0, -1]
        return float(logits[tokens[index]])

    for share in attributed.features[:5]:
        feature = share.feature.index_in_sae
        slope = (logit(-0.01, feature) - logit(0.01, feature)) / 0.02
        assert slope == pytest.approx(share.value, rel=0.05, abs=1e-3)


def test_logits_are_those_of_the_next_token(client: Any, server: Any) -> None:
    logits = client.chat.logits(ASKED, MODEL, top_k=5).logits
    assert len(logits) == 5
    assert list(logits.values()) == sorted(logits.values(), reverse=True)
    first = greedy(client, MODEL, max_completion_tokens=1).choices[0].message["content"]
    assert first in ("", next(iter(logits)))
    steered = client.chat.logits(ASKED, nudged(client), top_k=5).logits
    assert steered != logits
    chosen = client.chat.logits(ASKED, MODEL, top_k=None, filter_vocabulary=["a", "b", "no such token"]).logits
    assert set(chosen) == {"a", "b"}


def test_events_reach_their_handlers(client: Any) -> None:
    always = client.features.lookup([2], MODEL)[2]
    heard: list[str] = []
    variant = goodfire.Variant(MODEL)
    variant.handle_when(always >= 0.0, lambda context: heard.append(context.response_so_far))
    reply = greedy(client, variant)
    assert len(reply.gf_event_names) == 1
    assert heard == [reply.choices[0].message["content"]]
    streamed = list(greedy(client, variant, stream=True))
    assert [bool(chunk.gf_event_names) for chunk in streamed] == [True] + [False] * (len(streamed) - 1)
    never = goodfire.Variant(MODEL)
    never.abort_when(always < 0.0)
    assert greedy(client, never).gf_event_names is None
    aborted = goodfire.Variant(MODEL)
    aborted.abort_when(always >= 0.0)
    with pytest.raises(goodfire.exceptions.InferenceAbortedException):
        greedy(client, aborted)


def test_the_asynchronous_client(async_client: Any) -> None:
    """Every method once; many replies at the same time are those that one gets alone."""

    async def everything() -> None:
        features = async_client.features
        nearest = await features.search("boats", MODEL, top_k=3)
        variant = goodfire.Variant(MODEL)
        variant.set(nearest[0], 2.0)
        plain, steered = await asyncio.gather(greedy(async_client, MODEL), greedy(async_client, variant))
        many = await asyncio.gather(*(greedy(async_client, (MODEL, variant)[n % 2]) for n in range(10)))
        texts = [answer.choices[0].message["content"] for answer in many]
        assert texts == [answer.choices[0].message["content"] for answer in (plain, steered)] * 5
        parts = [chunk.choices[0].delta.content async for chunk in await greedy(async_client, variant, stream=True)]
        assert "".join(parts) == texts[1]
        assert len(await features.rerank(nearest, "sea", MODEL)) == len(nearest)
        assert len(await features.semantic_similarity(nearest, "sea", MODEL)) == len(nearest)
        assert len(await features.neighbors(nearest, MODEL, top_k=2)) == 2
        assert await features.lookup([1], MODEL)
        assert (await features.activations(ANSWERED, variant)).shape[1] == 65536
        assert (await features.inspect(ANSWERED, MODEL)).top(k=2)
        assert "".join(await features._tokenize(ANSWERED, MODEL)).endswith("They sail, and laugh.")
        assert await features.contrast([ANSWERED], [[*ASKED, {"role": "assistant", "content": "No."}]], MODEL)
        assert len(await features.AutoSteer("be funny", MODEL)) >= 1
        assert len(await features.AutoConditional("be funny", MODEL)) >= 1
        assert len(await features.generate_contrastive_stimulus("be funny")) == 2
        assert (await features.attribute(ANSWERED, 20, MODEL)).num_input_tokens > 20
        assert (await async_client.chat.logits(ASKED, variant)).logits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.get_event_loop().run_until_complete(everything())


@pytest.mark.parametrize("aggregate_by", ["frequency", "mean", "max", "sum"])
def test_strengths_are_aggregated_as_the_sdk_does_it(client: Any, server: Any, aggregate_by: str) -> None:
    ours = httpx.post(
        f"{server.url}/api/inference/v1/chat-attribution/compute-features",
        json={"model": MODEL, "messages": ANSWERED, "aggregate_by": aggregate_by},
        timeout=60,
    ).json()["features"]
    assert ours == sorted(ours, key=lambda feature: -feature["activation_strength"])
    theirs = client.features.inspect(ANSWERED, MODEL, aggregate_by=aggregate_by).top(k=len(ours))
    strengths = {chosen.feature.index_in_sae: chosen.activation for chosen in theirs}
    assert strengths == {f["index_in_sae"]: pytest.approx(f["activation_strength"], rel=1e-4) for f in ours}
