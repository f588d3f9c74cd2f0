"""repeng with a control `[rows, 1, d_model]`: its documentation does not speak of it, its code takes it."""

from __future__ import annotations

import numpy as np
import torch
from repeng import ControlModel
from shared import Reply, generate, load, mixed, read, report_replies, warm_up


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    model = ControlModel(model, [work.layer])

    def answer(vectors: np.ndarray, prompts: list[str]) -> list[Reply]:
        model.set_raw_control({work.layer: torch.from_numpy(vectors)[:, None]})
        return generate(model, tokenizer, prompts, work)

    warm_up(model, tokenizer, work)
    report_replies(lambda: mixed(work, answer))


if __name__ == "__main__":
    main()
