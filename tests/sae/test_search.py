"""Search finds features by meaning or, without the embedding model, by words and their forms; dead ones never."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_catalogue import small_catalogue

from mindgap.sae.catalogue import Catalogue
from mindgap.sae.labels import NO_PATTERN, labelled
from mindgap.sae.search import by_words, documents, relevance, search
from mindgap.text.embedding import embedder, embedder_lacks


@pytest.fixture
def catalogue() -> Catalogue:
    return labelled(small_catalogue())


@pytest.fixture
def without_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindgap.sae.search.embedder_lacks", lambda: ["the package"])


@pytest.mark.usefixtures("without_embeddings")
@pytest.mark.parametrize(
    ("text", "best"), [("funny jokes", 0), ("laughing", 0), ("a boat", 1), ("SHIPS", 1), ("comma", 3)]
)
def test_words_find_features_in_other_forms_too(catalogue: Catalogue, text: str, best: int) -> None:
    assert search(catalogue, text, 1)[0][0] == best


@pytest.mark.usefixtures("without_embeddings")
def test_a_text_that_shares_no_word_finds_nothing(catalogue: Catalogue) -> None:
    assert search(catalogue, "quantum chromodynamics", 3) == []
    assert search(catalogue, "the of and", 3) == []


def test_relevance_by_words_is_a_share_of_a_perfect_match(catalogue: Catalogue) -> None:
    scores = by_words(catalogue, "funny boat")
    assert 0 < scores[1] < by_words(catalogue, "boat")[1] <= 1
    assert scores[2] == 0


@pytest.mark.usefixtures("without_embeddings")
def test_a_dead_feature_has_the_lowest_relevance_and_is_never_found(catalogue: Catalogue) -> None:
    scores = relevance(catalogue, "funny")
    assert scores.dtype == np.float32
    assert scores.shape == (5,)
    assert scores[4] == -1
    assert all(index != 4 for index, _ in search(catalogue, "funny", 5))


def test_what_was_asked_before_is_not_computed_again_and_cannot_be_spoilt(catalogue: Catalogue) -> None:
    scores = relevance(catalogue, "funny")
    assert relevance(catalogue, "funny") is scores
    with pytest.raises(ValueError, match="read-only"):
        scores[0] = 1


@pytest.mark.skipif(bool(embedder_lacks()), reason="the embedding model is not installed")
def test_meaning_finds_what_shares_no_word(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder()  # from the real cache folder
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path))
    assert search(catalogue, "humorous", 1)[0][0] == 0
    assert search(catalogue, "ships and vessels", 1)[0][0] == 1
    kept = list(tmp_path.glob("labels/*.npy"))
    assert len(kept) == 1
    with_them = catalogue.with_embeddings(embedder().embed(documents(catalogue)), embedder().identity)
    np.testing.assert_allclose(relevance(with_them, "humorous"), relevance(catalogue, "humorous"), atol=0.02)
    assert list(tmp_path.glob("labels/*.npy")) == kept  # nothing was made where the catalogue has them


@pytest.mark.skipif(bool(embedder_lacks()), reason="the embedding model is not installed")
def test_a_feature_of_which_nothing_is_known_is_near_to_nothing(catalogue: Catalogue) -> None:
    labels = [NO_PATTERN, *catalogue.labels[1:]]
    unknown = catalogue.with_labels(labels, [()] * 5, ["somebody"] * 5)
    assert relevance(unknown, "there is no clear pattern in it")[0] == 0
