"""steering-vectors: `SteeringVector.apply` around `generate`, one vector a batch."""

from __future__ import annotations

import numpy as np
import torch
from shared import Reply, generate, load, one_at_a_time, read, report_replies, warm_up
from steering_vectors import SteeringVector


def main() -> None:
    work = read()
    model, tokenizer = load(work)

    def answer(vector: np.ndarray | None, prompts: list[str]) -> list[Reply]:
        if vector is None:
            return generate(model, tokenizer, prompts, work)
        with SteeringVector({work.layer: torch.from_numpy(vector)}).apply(model):
            return generate(model, tokenizer, prompts, work)

    warm_up(model, tokenizer, work)
    report_replies(lambda: one_at_a_time(work, answer))


if __name__ == "__main__":
    main()
