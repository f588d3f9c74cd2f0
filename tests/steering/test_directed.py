"""Directions from pairs, words and traits, put to any use: each by its formula on transformers' own hidden states."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.core.directions import DirectionEdit  # noqa: E402
from mindgap.core.edits import AddVector, Edit  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.records import Message, Query  # noqa: E402
from mindgap.steering.actadd import ActAdd  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.steering.condition import PromptCondition  # noqa: E402
from mindgap.steering.contrast_source import Contrast  # noqa: E402
from mindgap.steering.damage import NEAR, damages  # noqa: E402
from mindgap.steering.directed import Directed  # noqa: E402
from mindgap.steering.pairs import read_pairs  # noqa: E402
from mindgap.steering.persona import INSTRUCTIONS, Persona  # noqa: E402
from mindgap.steering.spread import Spread  # noqa: E402
from mindgap.steering.strength import Dose, relative_dose  # noqa: E402
from mindgap.steering.vectors import CONTRAST_TOKENS, neutral_texts, reference_norm  # noqa: E402

GLAD = Query("be glad", "")


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"positive": f"I love {word}.", "negative": f"I hate {word}."} for word in ("rain", "tea", "you", "it all")
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return str(path)


def hidden(bench: SteeringBench, tokens: list[int], layer: int) -> np.ndarray:
    """Hidden states `[tokens, d_model]` at the output of a block, by transformers alone."""
    model = bench.endpoint.engine.model  # type: ignore[attr-defined]
    caught: list[torch.Tensor] = []
    handle = model.model.layers[layer].register_forward_hook(
        lambda module, args, output: caught.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.inference_mode():
        model(torch.tensor([tokens]))
    handle.remove()
    return caught[0][0].numpy()


def edits_of(method: Directed, bench: SteeringBench, query: Query = GLAD) -> tuple[Edit, ...]:
    (edits,) = method.edits([query], bench)
    assert isinstance(edits, tuple)
    return edits


def prompt_tokens(bench: SteeringBench, text: str) -> list[int]:
    tokens: list[int] = bench.endpoint.engine.chat.prompt((Message("user", text),))  # type: ignore[attr-defined]
    return tokens


def test_caa_is_the_mean_difference_at_the_last_prompt_token(bench: SteeringBench, pairs: str) -> None:
    (first, second) = edits_of(Directed(Contrast(pairs=pairs, layers=(1, 2))), bench)
    assert isinstance(first, AddVector) and (first.layer, second.layer) == (1, 2)
    differences = [
        hidden(bench, prompt_tokens(bench, line["positive"]), 1)[-1]
        - hidden(bench, prompt_tokens(bench, line["negative"]), 1)[-1]
        for line in map(json.loads, Path(pairs).read_text().splitlines())
    ]
    np.testing.assert_allclose(first.vector, np.mean(differences, axis=0), atol=1e-4)


def test_questions_of_caa_are_read_at_the_letter(bench: SteeringBench, tmp_path: Path) -> None:
    entries = [
        {
            "question": f"Do you like {word}?\n\nChoices:\n (A) Yes\n (B) No",
            "answer_matching_behavior": " (A)",
            "answer_not_matching_behavior": " (B)",
        }
        for word in ("rain", "tea")
    ]
    path = tmp_path / "caa.json"
    path.write_text(json.dumps(entries))
    (edit,) = edits_of(Directed(Contrast(pairs=str(path), layers=(2,))), bench)
    encode = bench.endpoint.engine.chat.encode  # type: ignore[attr-defined]
    expected = []
    for entry in entries:
        asked = prompt_tokens(bench, entry["question"])
        expected.append(hidden(bench, asked + encode("(A"), 2)[-1] - hidden(bench, asked + encode("(B"), 2)[-1])
    np.testing.assert_allclose(edit.vector, np.mean(expected, axis=0), atol=1e-4)  # type: ignore[union-attr]


def test_replies_and_raw_texts_are_read_as_what_they_are(bench: SteeringBench, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "Hi", "positive": "good day", "negative": "go off"}\n' * 2)
    (edit,) = edits_of(Directed(Contrast(pairs=str(path), layers=(1,), point="mean")), bench)
    asked, encode = prompt_tokens(bench, "Hi"), bench.endpoint.engine.chat.encode  # type: ignore[attr-defined]
    means = [hidden(bench, asked + encode(text), 1)[len(asked) :].mean(0) for text in ("good day", "go off")]
    np.testing.assert_allclose(edit.vector, means[0] - means[1], atol=1e-4)  # type: ignore[union-attr]
    path.write_text('{"positive": "good day", "negative": "go off"}\n' * 2)
    (edit,) = edits_of(Directed(Contrast(pairs=str(path), layers=(1,), strings="text")), bench)
    lasts = [hidden(bench, encode(text), 1)[-1] for text in ("good day", "go off")]
    np.testing.assert_allclose(edit.vector, lasts[0] - lasts[1], atol=1e-4)  # type: ignore[union-attr]


def test_actadd_adds_the_difference_of_every_token_where_it_stood(bench: SteeringBench) -> None:
    edits = edits_of(Directed(ActAdd("Love", "no", layers=(1,)), factor=3.0), bench)
    encode = bench.endpoint.engine.chat.encode  # type: ignore[attr-defined]
    difference = 3 * (hidden(bench, encode("Love"), 1) - hidden(bench, encode("no  "), 1))
    assert [edit.positions for edit in edits] == ["at:0", "at:1", "at:2", "at:3"]
    np.testing.assert_allclose([edit.added for edit in edits], difference, atol=1e-4)  # type: ignore[misc]
    nothing = edits_of(Directed(ActAdd("no", layers=(1,))), bench)
    difference = hidden(bench, encode("no"), 1) - hidden(bench, encode("  "), 1)
    np.testing.assert_allclose([edit.added for edit in nothing], difference, atol=1e-4)  # type: ignore[misc]
    (alone,) = edits_of(Directed(ActAdd("{query}", "no", layers=(1,), front=False), positions="response"), bench)
    expected = hidden(bench, encode("be glad"), 1)[-1] - hidden(bench, encode("no"), 1)[-1]
    np.testing.assert_allclose(alone.added, expected, atol=1e-4)
    assert isinstance(alone, AddVector) and alone.positions == "response"


def test_a_persona_vector_is_the_difference_between_replies_under_a_trait_and_its_opposite(
    bench: SteeringBench,
) -> None:
    source = Persona(layers=(1,), questions=3, own=0)
    (edit,) = edits_of(Directed(source), bench)
    engine, means = bench.endpoint.engine, []  # type: ignore[attr-defined]
    for question in source.asked(GLAD, bench):
        for wording in INSTRUCTIONS:
            both = []
            for text in wording:
                prompt = (Message("system", text.replace("{query}", "be glad")), Message("user", question))
                (reply,) = bench.respond([prompt], CONTRAST_TOKENS)
                asked = engine.chat.prompt(prompt)
                both.append(
                    hidden(bench, asked + engine.chat.encode(reply.text), 1)[len(asked) :].mean(0)
                    if reply.text.strip()
                    else None
                )
            if both[0] is not None and both[1] is not None:
                means.append(both[0] - both[1])
    np.testing.assert_allclose(edit.vector, np.mean(means, axis=0), atol=1e-3)  # type: ignore[union-attr]


def test_ablation_takes_one_direction_from_every_block(bench: SteeringBench, pairs: str) -> None:
    source = Contrast(pairs=pairs, layers=(2,))
    edits = edits_of(Directed(Spread(source), "ablate"), bench)
    (vector,) = edits_of(Directed(source), bench)
    assert [edit.layer for edit in edits] == [0, 1, 2, 3]
    for edit in edits:
        assert isinstance(edit, DirectionEdit) and edit.operation == "ablate"
        np.testing.assert_allclose(edit.unit, vector.vector / np.linalg.norm(vector.vector), atol=1e-6)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="gives 2 directions"):
        edits_of(Directed(Spread(Contrast(pairs=pairs, layers=(1, 2))), "ablate"), bench)


@pytest.mark.parametrize("operation", ["ablate", "clamp", "rotate"])
def test_the_dose_of_what_depends_on_the_token_is_what_it_changes_on_neutral_text(
    operation: str, bench: SteeringBench, pairs: str
) -> None:
    settings = {"clamp": {"low": 0.2}, "rotate": {"degrees": 60.0}}.get(operation, {})
    method = Directed(Contrast(pairs=pairs, layers=(1,), plane=operation == "rotate"), operation, **settings)  # type: ignore[arg-type]
    (edit,) = edits_of(method, bench)
    assert isinstance(edit, DirectionEdit)
    steering = bench.endpoint.engine.steering([(edit,)])  # type: ignore[attr-defined]
    steering.rows_are(torch.tensor([0]), response=False)
    changes = []
    for text in neutral_texts(bench, 4):
        stream = torch.tensor(bench.stream(text, 1))[None]
        changes += (steering._hook(1)(None, None, stream) - stream).norm(dim=-1)[0].tolist()
    norm = reference_norm(bench, 1)
    assert relative_dose((edit,), lambda layer: norm) == pytest.approx(np.mean(changes) / norm, rel=1e-3)
    half = Dose(0.01).apply((edit,), lambda layer: norm)
    assert relative_dose(half, lambda layer: norm) == pytest.approx(0.01, rel=1e-4)


def test_a_control_is_one_word_away_and_of_its_own_kind(bench: SteeringBench, pairs: str) -> None:
    method = Directed(Contrast(pairs=pairs, layers=(1, 2)))
    own = edits_of(method, bench)
    random = edits_of(replace(method, control="random"), bench)
    shuffled = edits_of(replace(method, control="shuffled"), bench)
    for before, drawn, mixed in zip(own, random, shuffled, strict=True):
        assert drawn.layer == before.layer == mixed.layer
        assert drawn.norm == pytest.approx(before.norm, rel=1e-5)
        assert mixed.norm < 0.9 * before.norm  # halves of the pairs cancel
        cosine = float(drawn.added @ before.added) / (drawn.norm * before.norm)  # type: ignore[operator]
        assert abs(cosine) < 0.7
    again = edits_of(replace(method, control="random"), bench)
    assert [edit.key for edit in again] == [edit.key for edit in random]
    other = edits_of(replace(method, control="random"), bench, Query("be sad", ""))
    assert other[0].key != random[0].key
    everywhere = edits_of(Directed(Spread(Contrast(pairs=pairs, layers=(1,))), "ablate", control="random"), bench)
    assert len({edit.unit.tobytes() for edit in everywhere if isinstance(edit, DirectionEdit)}) == 1


def test_native_length_can_be_set_at_every_block(bench: SteeringBench, pairs: str) -> None:
    edits = edits_of(Directed(Contrast(pairs=pairs, layers="all", estimate="pca"), norm=0.3), bench)
    assert len(edits) == 4
    for edit in edits:
        assert edit.norm == pytest.approx(0.3 * reference_norm(bench, edit.layer), rel=1e-4)


def test_damage_sets_the_strength(bench: SteeringBench, pairs: str) -> None:
    for operation in ("add", "ablate"):
        method = Directed(Contrast(pairs=pairs, layers=(1,)), operation)
        edits = [edits_of(replace(method, damage=limit), bench) for limit in (0.05, 1.0)]
        lost = damages(edits, bench)
        assert lost[0] < lost[1] < 1.0 * NEAR
        assert relative_dose(edits[0], lambda layer: 1.0) < relative_dose(edits[1], lambda layer: 1.0)


def test_a_condition_tells_the_prompts_of_its_file_apart(bench: SteeringBench, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    lines = [{"positive": f"sing {n}!!!", "negative": f"what is the {n}th of it, say"} for n in range(6)]
    path.write_text("\n".join(map(json.dumps, lines)))
    gate = PromptCondition(pairs=str(path)).gate(bench)
    held = [
        [gate.holds(hidden(bench, prompt_tokens(bench, line[kind]), gate.layer).mean(0)) for line in lines]
        for kind in ("positive", "negative")
    ]
    assert sum(held[0]) >= 5 and sum(held[1]) <= 1
    fixed = PromptCondition(pairs=str(path), layer=2, threshold=0.25, above=False, read="last").gate(bench)
    assert (fixed.layer, fixed.threshold, fixed.above, fixed.read) == (2, 0.25, False, "last")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"operation": "multiply"}, "add, add_constant_norm, ablate"),
        ({"positions": "first"}, "last:K"),
        ({"control": "none at all"}, "none, random, shuffled"),
        ({"operation": "clamp"}, "needs low, high or both"),
        ({"low": 0.1}, "operation=clamp"),
        ({"operation": "clamp", "low": 1.0, "high": 0.0}, "above high"),
        ({"operation": "rotate"}, "needs degrees"),
        ({"degrees": 10.0}, "operation=rotate"),
        ({"half_life": 0.0}, "above 0"),
        ({"damage": -1.0}, "above 0"),
        ({"operation": "ablate", "norm": 0.1}, "adds no vector"),
        ({"source": ActAdd("a"), "control": "shuffled"}, "made of no pairs"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Directed(**({"source": Contrast()} | settings))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"positive": "a", "negative": "b"}\nnot json\n', "line 2"),
        ('{"positive": "a"}\n{"positive": "a"}\n', "entry 1 has the keys positive"),
        ('{"positive": "a", "negative": "b"}\n', "two at least"),
        ('["a", "b"]', "entry 1"),
        ('{"positive": [{"role": "me", "content": "x"}], "negative": "b"}\n', "entry 1, positive"),
        ('{"positive": "", "negative": "b"}\n', "entry 1, positive"),
    ],
)
def test_a_file_that_holds_no_pairs_says_where(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_pairs(tmp_path / "pairs.jsonl")
    with pytest.raises(ConfigError, match="no such file"):
        read_pairs(tmp_path / "none.jsonl")
