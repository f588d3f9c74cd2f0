"""repeng with a control `[rows, 1, d_model]`: its documentation does not speak of it, its code takes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from repeng import ControlModel
from shared import Reply, generate, load, mixed, read, report_replies


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    model = ControlModel(model, [work.layer])

    def answer(vectors: np.ndarray, prompts: list[str]) -> list[Reply]:
        model.set_raw_control({work.layer: torch.from_numpy(vectors)[:, None]})
        return generate(model, tokenizer, prompts, work)

    generate(model, tokenizer, [work.requests[0]["prompt"]], replace(work, max_tokens=2))
    report_replies(lambda: mixed(work, answer))


if __name__ == "__main__":
    main()
