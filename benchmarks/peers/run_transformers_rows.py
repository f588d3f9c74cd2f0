"""The best that a hook can do: a vector for every row, so that a batch of `generate` mixes steerings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from shared import Reply, generate, load, mixed, read, report_replies


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    block = model.model.layers[work.layer]

    def answer(vectors: np.ndarray, prompts: list[str]) -> list[Reply]:
        added = torch.from_numpy(vectors)[:, None]
        handle = block.register_forward_hook(lambda module, inputs, output: output + added)
        try:
            return generate(model, tokenizer, prompts, work)
        finally:
            handle.remove()

    generate(model, tokenizer, [work.requests[0]["prompt"]], replace(work, max_tokens=2))
    report_replies(lambda: mixed(work, answer))


if __name__ == "__main__":
    main()
