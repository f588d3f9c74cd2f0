"""repeng: `ControlModel.set_control` before `generate`, one vector a batch."""

from __future__ import annotations

import numpy as np
from repeng import ControlModel, ControlVector
from shared import Reply, generate, load, one_at_a_time, read, report_replies, warm_up


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    model = ControlModel(model, [work.layer])

    def answer(vector: np.ndarray | None, prompts: list[str]) -> list[Reply]:
        if vector is None:
            model.reset()
        else:
            model.set_control(ControlVector(model_type="llama", directions={work.layer: vector}))
        return generate(model, tokenizer, prompts, work)

    warm_up(model, tokenizer, work)
    report_replies(lambda: one_at_a_time(work, answer))


if __name__ == "__main__":
    main()
