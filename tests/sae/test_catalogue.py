"""A catalogue keeps what it is given, says which SAE it is of, and refuses files that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_catalogue import small_catalogue

from mindgap.core.errors import UnavailableError
from mindgap.sae.catalogue import load
from mindgap.sae.labels import labelled


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    catalogue = labelled(small_catalogue())
    catalogue.save(tmp_path / "new" / "catalogue.parquet")
    known = load(tmp_path / "new" / "catalogue.parquet")
    assert [known.feature(index) for index in range(5)] == [catalogue.feature(index) for index in range(5)]
    assert (known.sae, known.features, known.identity) == ("small@0", 5, catalogue.identity)
    assert known.about["tokens"] == 80
    assert list(tmp_path.glob("new/*")) == [tmp_path / "new" / "catalogue.parquet"]


def test_a_context_says_where_and_how_strong_the_feature_is() -> None:
    context = small_catalogue().feature(0).contexts[0]
    assert context.pieces[context.at] == " funny"
    assert context.activations[context.at] == context.activation == 4.0
    assert sum(context.activations) == 4.0


def test_columns_are_arrays_over_all_features() -> None:
    catalogue = small_catalogue()
    np.testing.assert_array_equal(catalogue.live, [True, True, True, True, False])
    np.testing.assert_allclose(catalogue.scale, [4, 9, 4, 4, 0])
    assert catalogue.scale.dtype == catalogue.density.dtype == np.float32


@pytest.mark.parametrize("index", [-1, 5])
def test_a_feature_that_the_sae_does_not_have_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match="features 0 to 4"):
        small_catalogue().feature(index)


def test_embeddings_come_back_for_the_embedder_that_made_them_and_go_with_the_labels() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    catalogue = labelled(small_catalogue()).with_embeddings(vectors, "one@1")
    kept = catalogue.embeddings("one@1")
    assert kept is not None
    np.testing.assert_allclose(kept, vectors, atol=0.5 / 127)
    assert catalogue.embeddings("another@1") is None
    assert labelled(catalogue).embeddings("one@1") is None


def test_scales_go_into_the_sae() -> None:
    pytest.importorskip("torch")
    from random_sae import random_sae

    sae = small_catalogue().with_scales(random_sae(8, features=5))
    assert sae.scale is not None
    assert sae.scale.tolist() == [4, 9, 4, 4, 0]


@pytest.mark.parametrize("content", [b"", b"something else", None])
def test_a_file_that_is_no_catalogue_is_refused_by_its_name(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    if content is None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"label": ["x"]}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(UnavailableError, match=r"catalogue\.parquet"):
        load(path)


def test_the_catalogue_that_ships_is_of_the_sae_that_ships() -> None:
    pytest.importorskip("torch")
    from mindgap.core.model import ModelSpec
    from mindgap.sae.locate import catalogue_of
    from mindgap.sae.releases import load_sae, sae_lacks

    if sae_lacks("mindgap:tiny"):
        pytest.skip("no SAE ships with this version")
    catalogue, sae = catalogue_of(ModelSpec("tiny", sae="mindgap:tiny")), load_sae("mindgap:tiny")
    assert catalogue.features == sae.features
    assert sae.scale is not None
    np.testing.assert_allclose(sae.scale.numpy(), catalogue.scale, rtol=1e-6)
    assert all(label for label, live in zip(catalogue.labels, catalogue.live, strict=True) if live)
