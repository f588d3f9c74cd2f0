"""A survey that keeps next to nothing says the same as looking at all activations of all tokens at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from random_sae import random_sae

from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import residual_stream
from mindgap.core.records import Message
from mindgap.sae.catalogue import Catalogue
from mindgap.sae.sae import SAE
from mindgap.sae.scale import Histogram
from mindgap.training.activations import token_ids
from mindgap.training.corpus import Text
from mindgap.training.describe import describe
from mindgap.training.survey import CONTEXTS

MANNERS = ("be funny", "be sad and nostalgic")


def texts() -> list[Text]:
    """Conversations under two manners and under none, and plain text; all different."""
    rng = np.random.default_rng(1)
    made = []
    for number in range(60):
        words = "".join(rng.choice(list("abcdefgh    "), size=rng.integers(15, 40)))
        system = (Message("system", f"You must {MANNERS[number % 2]}."),) if number % 4 < 2 else ()
        asked = (*system, Message("user", "what?")) if number % 5 else ()
        made.append(Text(asked, f"{number} {words}" + (" zzzzzz zzzzzz" if system and number % 2 == 0 else "")))
    return made


@pytest.fixture(scope="module")
def engine(small_model: SimpleNamespace) -> Engine:
    return Engine(small_model.model, small_model.tokenizer, max_rows=8)


@pytest.fixture(scope="module")
def sae() -> SAE:
    return random_sae(32, "topk", features=48)


@pytest.fixture(scope="module")
def described(engine: Engine, sae: SAE) -> Catalogue:
    return describe(engine, sae, texts(), lambda done: None)


@torch.inference_mode()
def activations(engine: Engine, sae: SAE, text: Text) -> np.ndarray:
    """`[tokens, features]` of all tokens but the first, from a pass of this text alone."""
    stream = residual_stream(engine, [token_ids(engine, text)], sae.layer)
    return sae.encode(stream[0, 1:]).numpy()


def test_density_and_scale_are_those_of_all_tokens(engine: Engine, sae: SAE, described: Catalogue) -> None:
    every = np.concatenate([activations(engine, sae, text) for text in texts()])
    np.testing.assert_allclose(described.density, (every > 0).mean(0), atol=1e-6)
    assert described.about["tokens"] == len(every)
    exact = [np.quantile(column[column > 0], 0.995, method="higher") if (column > 0).any() else 0 for column in every.T]
    np.testing.assert_allclose(described.scale, exact, rtol=0.1)
    assert (described.scale <= every.max(0) * 1.0001).all()


def test_contexts_are_the_strongest_of_different_texts(engine: Engine, sae: SAE, described: Catalogue) -> None:
    each = [activations(engine, sae, text) for text in texts()]
    peaks = np.array([of_text.max(0) for of_text in each])
    checked = 0
    for index in range(sae.features):
        contexts = described.feature(index).contexts
        strongest = [context.activation for context in contexts]
        best = np.sort(peaks[:, index])[::-1]
        best = best[best > 0]
        assert strongest == sorted(strongest, reverse=True)
        assert len(strongest) <= CONTEXTS
        for place, activation in enumerate(strongest):
            assert np.isclose(best, activation, rtol=1e-4).any()
            assert activation <= best[place] * 1.0001
        if len(best):
            checked += 1
            assert strongest[0] == pytest.approx(best[0], rel=1e-4)
    assert checked > 30


def test_a_context_shows_the_text_around_its_peak(engine: Engine, sae: SAE, described: Catalogue) -> None:
    index = int(described.density.argmax())
    context = described.feature(index).contexts[0]
    shown = "".join(context.pieces)
    assert max(context.activations) == context.activations[context.at] == context.activation
    for text in texts():
        ids, own = token_ids(engine, text), activations(engine, sae, text)[:, index]
        if np.isclose(own.max(), context.activation, rtol=1e-5) and shown in engine.tokenizer.decode(ids):
            at = int(own.argmax())
            around = own[at - context.at : at - context.at + len(context.pieces)]
            np.testing.assert_allclose(context.activations, around, atol=context.activation / 200)
            assert context.pieces[context.at] == engine.tokenizer.decode([ids[at + 1]])
            return
    raise AssertionError("the context is of none of the texts")


def test_equal_contexts_are_kept_once(engine: Engine, sae: SAE) -> None:
    same = [Text((Message("user", "what?"),), "the same words")] * 10
    catalogue = describe(engine, sae, same, lambda done: None)
    assert all(len(catalogue.feature(index).contexts) <= 1 for index in range(sae.features))


def test_a_prompt_that_many_texts_share_leaves_room_for_other_contexts(engine: Engine, sae: SAE) -> None:
    """Twenty texts whose strongest token is in the same prompt do not crowd out weaker contexts of other texts."""
    system = Message("system", "abcdefgh " * 10)
    shared = [Text((system, Message("user", "what?")), f"{number}") for number in range(20)]
    other = [Text((), f"{word} {word}") for word in ("one", "two", "three", "four", "five", "six")]
    catalogue = describe(engine, sae, [*shared, *other], lambda done: None)
    alone = [np.concatenate([activations(engine, sae, text) for text in part]).max(0) for part in (shared, other)]
    crowded = np.flatnonzero((alone[0] > alone[1] * 1.01) & (alone[1] > 0))
    assert len(crowded) > 5
    assert all(len(catalogue.feature(index).contexts) > 1 for index in crowded)  # type: ignore[arg-type]


def test_a_feature_that_is_active_under_a_manner_alone_says_so(engine: Engine) -> None:
    """The feature reads the letter z, which only the funny replies have."""
    z = engine.tokenizer.convert_tokens_to_ids("z")
    with torch.inference_mode():
        ids = [token_ids(engine, text) for text in texts()]
        streams = torch.cat([residual_stream(engine, [own], 0)[0, 1:] for own in ids])
    is_z = torch.tensor([token == z for own in ids for token in own[1:]])
    weight = torch.where(is_z, (~is_z).sum() / is_z.sum(), 1.0).sqrt()[:, None]  # both classes count alike
    inputs = torch.nn.functional.pad(streams, (0, 1), value=1)
    row = torch.linalg.lstsq(inputs * weight, is_z[:, None] * weight).solution[:, 0]
    rows = torch.stack([row[:-1], torch.zeros(32)])
    biases = torch.stack([row[-1] - 0.6, torch.tensor(0.0)])
    reading = SAE("z@0", 0, "relu", rows, biases, rows, torch.zeros(32), centred=False)
    feature = describe(engine, reading, texts(), lambda done: None).feature(0)
    assert [manner.manner for manner in feature.manners] == ["be funny"]
    assert feature.manners[0].lift > 5
    assert feature.label.endswith("when asked to be funny")


def test_promoted_tokens_are_those_whose_unembedding_points_along_the_direction(engine: Engine) -> None:
    weight = engine.model.get_output_embeddings().weight.detach()
    tokens = engine.tokenizer.convert_tokens_to_ids(["a", "e"])
    rows = weight[tokens] / weight[tokens].norm(dim=-1, keepdim=True)
    rows = torch.cat([rows, -rows])  # their mean is zero: centring changes nothing
    pointing = SAE("p@0", 1, "relu", rows, torch.zeros(4), rows, torch.zeros(32))
    catalogue = describe(engine, pointing, texts()[:8], lambda done: None)
    known = {token for text in texts()[:8] for token in token_ids(engine, text)}
    known = torch.tensor(sorted(known - set(engine.tokenizer.all_special_ids)))  # type: ignore[assignment]
    for index, logits in enumerate(rows @ weight[known].T):
        best = [engine.tokenizer.decode([int(token)]) for token in known[logits.topk(10).indices]]
        assert list(catalogue.feature(index).promoted) == best
        assert catalogue.feature(index).promotion == pytest.approx(float((logits.max() - logits.mean()) / logits.std()))


def test_describing_is_deterministic(engine: Engine, sae: SAE, described: Catalogue, tmp_path: Path) -> None:
    again = describe(engine, sae, texts(), lambda done: None)
    assert again.table.equals(described.table, check_metadata=True)


def test_a_scale_does_not_rest_on_one_token() -> None:
    values = np.linspace(0.5, 1, 2000).astype(np.float32)
    histogram = Histogram(2)
    histogram.add(np.zeros(2001, dtype=int), np.append(values, np.float32(1000)))
    scales = histogram.scales(np.array([1000, 0], dtype=np.float32))
    assert scales[0] == pytest.approx(1, rel=0.1)
    assert scales[1] == 0
