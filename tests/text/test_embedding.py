import numpy as np
import pytest

from mindgap.judges.proxy import ProxyJudge
from mindgap.text.embedding import embedder, embedder_lacks

pytestmark = pytest.mark.skipif(bool(embedder_lacks()), reason="the embedding model is not installed")


def test_sentences_of_like_meaning_are_close_whatever_their_words_and_their_neighbours():
    texts = ["The cat sits on the mat.", "A kitten is resting on a rug.", "Interest rates rose again.", "x " * 2000]
    vectors = embedder().embed(texts)
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]
    np.testing.assert_allclose(embedder().embed(texts[:1]), vectors[:1], atol=1e-5)


def test_weights_are_read_when_something_is_embedded_and_not_for_a_name() -> None:
    known = embedder().identity
    embedder.cache_clear()
    assert known.partition("@")[2] in embedder().identity
    assert ProxyJudge().identity
    assert not {"model", "tokenizer"} & vars(embedder()).keys()
    embedder().embed(["a cat"])
    assert {"model", "tokenizer"} <= vars(embedder()).keys()
