"""`generate` of transformers with a forward hook that adds the vector: one steering a batch."""

from __future__ import annotations

import numpy as np
from shared import Reply, adding, generate, load, one_at_a_time, read, report_replies, warm_up


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    block = model.model.layers[work.layer]

    def answer(vector: np.ndarray | None, prompts: list[str]) -> list[Reply]:
        if vector is None:
            return generate(model, tokenizer, prompts, work)
        with adding(block, vector):
            return generate(model, tokenizer, prompts, work)

    warm_up(model, tokenizer, work)
    report_replies(lambda: one_at_a_time(work, answer))


if __name__ == "__main__":
    main()
