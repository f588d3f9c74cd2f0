"""The best that a hook can do: a vector for every row, so that a batch of `generate` mixes steerings."""

from __future__ import annotations

import numpy as np
from shared import Reply, adding, generate, load, mixed, read, report_replies, warm_up


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    block = model.model.layers[work.layer]

    def answer(vectors: np.ndarray, prompts: list[str]) -> list[Reply]:
        with adding(block, vectors[:, None]):
            return generate(model, tokenizer, prompts, work)

    warm_up(model, tokenizer, work)
    report_replies(lambda: mixed(work, answer))


if __name__ == "__main__":
    main()
