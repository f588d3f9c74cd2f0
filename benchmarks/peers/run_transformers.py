"""`generate` of transformers with a forward hook that adds the vector: one steering a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from shared import Reply, generate, load, one_at_a_time, read, report_replies


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    block = model.model.layers[work.layer]

    def answer(vector: np.ndarray | None, prompts: list[str]) -> list[Reply]:
        if vector is None:
            return generate(model, tokenizer, prompts, work)
        added = torch.from_numpy(vector)
        handle = block.register_forward_hook(lambda module, inputs, output: output + added)
        try:
            return generate(model, tokenizer, prompts, work)
        finally:
            handle.remove()

    generate(model, tokenizer, [work.requests[0]["prompt"]], replace(work, max_tokens=2))
    report_replies(lambda: one_at_a_time(work, answer))


if __name__ == "__main__":
    main()
