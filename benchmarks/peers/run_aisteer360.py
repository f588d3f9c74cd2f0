"""AISteer360: a `SteeringPipeline` a vector, on the model that is loaded once, as its own benchmark does it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from aisteer360.algorithms.core.steering_pipeline import SteeringPipeline
from aisteer360.algorithms.state_control._common.steering_vector import SteeringVector
from aisteer360.algorithms.state_control.caa.control import CAA
from shared import Reply, load, one_at_a_time, read, replies, report_replies, settings, tokens_of


def main() -> None:
    work = read()
    model, tokenizer = load(work)

    def pipeline(controls: list[Any]) -> SteeringPipeline:
        made = SteeringPipeline(controls=controls, lazy_init=True)
        made.model, made.tokenizer, made.device = model, tokenizer, model.device
        made.steer()
        return made

    def answer(vector: np.ndarray | None, prompts: list[str], work: Any = work) -> list[Reply]:
        controls = []
        if vector is not None:
            directions = {work.layer: torch.from_numpy(vector)[None]}
            added = SteeringVector(model_type="llama", directions=directions)
            controls = [CAA(steering_vector=added, layer_id=work.layer, token_scope="all")]
        inputs = tokens_of(tokenizer, prompts)
        with torch.inference_mode():
            new = pipeline(controls).generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **settings(work, tokenizer)
            )
        return replies(new, work, tokenizer)

    answer(None, [work.requests[0]["prompt"]], replace(work, max_tokens=2))
    report_replies(lambda: one_at_a_time(work, answer))


if __name__ == "__main__":
    main()
