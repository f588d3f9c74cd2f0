"""A vector that is trained: under it replies that show a behaviour become likelier than replies that do not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from mindgap.backends.base import TrainableEndpoint
from mindgap.core.keys import content_key
from mindgap.steering.adam import adam, resumed
from mindgap.steering.bench import SteeringBench, Text, plain
from mindgap.steering.sources import Placed
from mindgap.steering.trained import Trained
from mindgap.steering.vectors import reference_norm

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preference(Trained):
    """`_target_: mindgap.steering.preference.Preference`. BiPO (Cao et al. 2024, arXiv 2406.00045).

    Minimises -log σ(d β [log p(r+ | q, d v) / p(r+ | q) - log p(r- | q, d v) / p(r- | q)]) over v, with d drawn as 1 or
    -1 for every step, so that -v steers the other way.

    Attributes:
        beta: β of the loss.
        rate: Step of Adam, as a share of the residual stream's median size per coordinate (its norm over √d_model).
    """

    beta: float = 0.1
    rate: float = 0.01
    above_zero: ClassVar[tuple[str, ...]] = ("epochs", "batch", "beta", "rate")

    def placed(
        self, showing: Sequence[Text], other: Sequence[Text], layer: int, bench: SteeringBench
    ) -> tuple[Placed, ...]:
        """See `Trained.placed`."""
        return (Placed(layer, self.trained(showing, other, layer, bench)),)

    def trained(
        self, positive: Sequence[Text], negative: Sequence[Text], layer: int, bench: SteeringBench
    ) -> np.ndarray:
        """The vector, float32 `[d_model]`; what is known of it from the store is not trained again."""
        texts = [*positive, *negative]
        settings = {name: getattr(self, name) for name in ("batch", "beta", "rate")}

        def key(epoch: int) -> str:
            source, seed = bench.read_as, bench.seed
            return content_key(
                "preference", source=source, seed=seed, texts=plain(texts), layer=layer, epoch=epoch, **settings
            )

        state, done = resumed(bench, key, np.zeros(bench.d_model, dtype=np.float32), self.epochs)
        endpoint = cast(TrainableEndpoint, bench.endpoint)
        if done < self.epochs:
            unsteered = endpoint.likelihood_under(texts, layer, np.zeros(bench.d_model, dtype=np.float32))[0]
            size = self.rate * reference_norm(bench, layer) / bench.d_model**0.5
        steps = -(-len(positive) // self.batch)
        for epoch in range(done, self.epochs):
            draw = np.random.default_rng([bench.seed, epoch])
            order = draw.permutation(len(positive))
            for number in range(steps):
                rows = order[number * self.batch : (number + 1) * self.batch]
                sign = float(draw.choice([-1.0, 1.0]))
                some = [texts[row] for row in (*rows, *(rows + len(positive)))]
                before = np.concatenate([unsteered[rows], unsteered[rows + len(positive)]])
                likely, gradients = endpoint.likelihood_under(some, layer, sign * state[0])
                change, count = likely - before, len(rows)
                margin = sign * self.beta * (change[:count] - change[count:])
                weight = self.beta / (1 + np.exp(np.clip(margin, -60, 60)))  # d d = 1
                gradient = -(weight[:, None] * (gradients[:count] - gradients[count:])).mean(0)
                adam(state, gradient, epoch * steps + number + 1, size)
            bench.store.put_array(key(epoch + 1), state)
            log.info("trained %d of %d epochs; norm %.3g", epoch + 1, self.epochs, float(np.linalg.norm(state[0])))
        return state[0]
