"""Representation finetuning of rank one: a change of the stream that is trained on replies which show a behaviour."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mindgap.backends.base import ReftForm, TrainableEndpoint
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.steering.adam import adam, resumed
from mindgap.steering.bench import SteeringBench, Text, plain
from mindgap.steering.sources import Placed
from mindgap.steering.trained import Trained
from mindgap.steering.vectors import reference_norm

log = logging.getLogger(__name__)

WHERE = "method.interventions"


@dataclass(frozen=True)
class _Reft(Trained):
    """What both kinds have in common: replies that show the behaviour are made likelier, and no others are seen.

    Attributes:
        rate: Step of Adam, as a share of a parameter's typical size: 1/√d_model of a direction's coordinates, the
            stream's median norm of an offset.
    """

    rate: float = 0.05

    def _trained(
        self,
        form: ReftForm,
        texts: Sequence[Text],
        layer: int,
        bench: SteeringBench,
        start: np.ndarray,
        sizes: np.ndarray,
    ) -> np.ndarray:
        """The parameters, float32; what is known of them from the store is not trained again.

        The direction, their first d_model, has length 1 after every step.
        """

        def key(epoch: int) -> str:
            return content_key(
                f"reft {form.kind}", source=bench.read_as, seed=bench.seed, texts=plain(texts), layer=layer,
                epoch=epoch, batch=self.batch, rate=self.rate, top=form.top, sparsity=form.sparsity,
            )  # fmt: skip

        state, done = resumed(bench, key, start, self.epochs)
        endpoint, d_model = cast(TrainableEndpoint, bench.endpoint), bench.d_model
        steps = -(-len(texts) // self.batch)
        for epoch in range(done, self.epochs):
            order, gained = np.random.default_rng([bench.seed, epoch]).permutation(len(texts)), 0.0
            for number in range(steps):
                rows = order[number * self.batch : (number + 1) * self.batch]
                reached, gradients = endpoint.reft_objective([texts[row] for row in rows], layer, form, state[0])
                gained += float(reached.sum()) / len(texts)
                adam(state, -gradients.mean(0), epoch * steps + number + 1, self.rate * sizes)
                state[0, :d_model] /= max(float(np.linalg.norm(state[0, :d_model])), 1e-12)
            bench.store.put_array(key(epoch + 1), state)
            log.info("trained %d of %d epochs; objective %.3f nats per token", epoch + 1, self.epochs, gained)
        return state[0]


@dataclass(frozen=True)
class ReftR1(_Reft):
    """`_target_: mindgap.steering.reft.ReftR1`. ReFT-r1 of AxBench (Wu et al. 2025, arXiv 2501.17148).

    Trained through x + (1/k Σ of the k largest latents of the text) u, a latent being max(u·x, 0) at a token, to
    maximise the log-likelihood of the replies less `sparsity` times the mean of the other latents. What is added, then,
    is u times the largest latent at any token of the replies, wherever the method's settings say.

    Attributes:
        top: k.
        sparsity: See above, nats for each unit of the residual stream.
    """

    top: int = 16
    sparsity: float = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top < 1 or self.sparsity < 0:
            raise ConfigError(f"{WHERE}: top={self.top} must be 1 or more, and sparsity={self.sparsity} 0 or more")

    def placed(
        self, showing: Sequence[Text], other: Sequence[Text], layer: int, bench: SteeringBench
    ) -> tuple[Placed, ...] | Declined:
        """See `Trained.placed`."""
        unit = self.trained(showing, layer, bench)
        largest = max(float((bench.stream(text, layer) @ unit).max(initial=0.0)) for text in showing)
        if not largest:
            return Declined("the direction that was trained is active at no token of the replies: it has no length")
        return (Placed(layer, np.float32(largest) * unit),)

    def trained(self, texts: Sequence[Text], layer: int, bench: SteeringBench) -> np.ndarray:
        """u, float32 `[d_model]`."""
        d_model = bench.d_model
        sizes = np.full(d_model, d_model**-0.5)
        return self._trained(ReftForm("r1", self.top, self.sparsity), texts, layer, bench, _start(bench), sizes)


@dataclass(frozen=True)
class LoReft(_Reft):
    """`_target_: mindgap.steering.reft.LoReft`. LoReFT of rank one (Wu et al. 2024, arXiv 2404.03592).

    Its x + (w·x + b - u·x) u, trained as x + (r·x + b) u with r = w - u, from no change at all; for `operation:
    rank_one`.
    """

    def placed(
        self, showing: Sequence[Text], other: Sequence[Text], layer: int, bench: SteeringBench
    ) -> tuple[Placed, ...]:
        """See `Trained.placed`."""
        found, d_model = self.trained(showing, layer, bench), bench.d_model
        return (Placed(layer, found[:d_model], reads=found[d_model:-1], offset=float(found[-1])),)

    def trained(self, texts: Sequence[Text], layer: int, bench: SteeringBench) -> np.ndarray:
        """u, r and b in one, float32 `[2 d_model + 1]`."""
        d_model = bench.d_model
        start = np.concatenate([_start(bench), np.zeros(d_model + 1)])
        sizes = np.append(np.full(2 * d_model, d_model**-0.5), reference_norm(bench, layer))
        return self._trained(ReftForm("loreft"), texts, layer, bench, start, sizes)


def _start(bench: SteeringBench) -> np.ndarray:
    """A random direction of length 1, fixed by the seed."""
    drawn = np.random.default_rng([bench.seed, bench.d_model]).standard_normal(bench.d_model)
    return drawn / np.linalg.norm(drawn)
