"""lm-evaluation-harness: its `steered` model, made anew for every vector on the model that is loaded once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.hf_steered import SteeredModel
from lm_eval.models.huggingface import HFLM
from shared import by_vector, load, read, report_scores


def main() -> None:
    work = read()
    model, tokenizer = load(work)
    loaded = {"pretrained": model, "tokenizer": tokenizer, "batch_size": work.rows, "device": "cpu"}

    def steered(vector: np.ndarray, folder: Path) -> HFLM:
        path = folder / "vector.pt"
        edit = {"steering_vector": torch.from_numpy(vector), "steering_coefficient": 1.0, "action": "add"}
        torch.save({f"layers.{work.layer}": edit}, path)
        return SteeredModel(steer_path=str(path), **loaded)

    def score(lm: HFLM, requests: list[dict[str, Any]]) -> list[list[float]]:
        asked = [
            Instance("loglikelihood", {}, (request["prompt"], option), 0)
            for request in requests
            for option in request["options"]
        ]
        found = iter(lm.loglikelihood(asked, disable_tqdm=True))
        return [[next(found)[0] for _ in request["options"]] for request in requests]

    def run() -> list[list[float]]:
        scores: list[list[float]] = [[] for _ in work.options]
        with tempfile.TemporaryDirectory() as folder:
            for vector, group in by_vector(work.options).items():
                lm = HFLM(**loaded) if vector is None else steered(work.vectors[vector], Path(folder))
                for index, found in zip(group, score(lm, [work.options[i] for i in group]), strict=True):
                    scores[index] = found
        return scores

    score(HFLM(**loaded), work.options[:1])
    report_scores(run)


if __name__ == "__main__":
    main()
