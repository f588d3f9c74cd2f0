"""The card that goes with a sparse autoencoder: what it was trained on, how good it is, how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mindgap.training.quality import Quality

if TYPE_CHECKING:
    from mindgap.training.settings import TrainSettings

CARD = """\
# {name}

A sparse autoencoder of the residual stream at the output of block {layer} of `{model}`.
BatchTopK (Bussmann et al. 2024, arXiv 2412.06410), kept as a jump ReLU with one threshold: {features} features,
k = {k}.

Trained on {tokens:,} tokens, {epochs} times each: {corpus}. A text's first token is left out.

On {q.tokens:,} tokens of held-out text, beside the {q.pca_components} leading principal components of the training
tokens (as many numbers a token as the SAE uses):

| | SAE | principal components |
|---|---|---|
| variance explained | {q.explained:.3f} | {q.pca_explained:.3f} |
| cross-entropy recovered when spliced in | {q.recovered:.3f} | {q.pca_recovered:.3f} |
| numbers a token (L0) | {q.l0:.1f} | {q.pca_components} |
| dead features (active at no held-out token) | {q.dead:.1%} | |

Cross-entropy per token, in nats: {q.cross_entropy:.3f} unchanged, {q.cross_entropy_sae:.3f} with the SAE's
reconstruction, {q.cross_entropy_mean:.3f} with the mean stream at every token (that is what 0 recovered means).

Made by `python -m mindgap.training.train {command}`.
"""


def card(
    name: str, model: str, settings: TrainSettings, quality: Quality, corpus: Mapping[str, int], *, tokens: int
) -> str:
    """The card as Markdown.

    Args:
        corpus: Number of texts by where they come from.
        tokens: Of the training text.
    """
    return CARD.format(
        name=name,
        model=model.partition("/")[2],
        layer=settings.layer,
        features=settings.fit.features,
        k=settings.fit.k,
        tokens=tokens,
        epochs=settings.fit.epochs,
        corpus=", ".join(f"{count:,} texts ({source})" for source, count in corpus.items()),
        q=quality,
        command=" ".join(f"{key}={value}" for key, value in settings.shown().items() if key not in ("out", "held_out")),
    )
