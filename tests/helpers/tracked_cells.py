"""Cells to write and to log, and a program that logs them from a process of its own.

    python tracked_cells.py SWEEP_FOLDER STEPS

STEPS is JSON: a list of `{"cell": {...}, "tracker": {...}}`, the keyword arguments of `cell` and of `WandbTracker`;
a step without a cell logs the sweep that is in the folder.
Prints one JSON line a step: the tracker's message and the seconds it took.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from sweeps import MEASURES, measured_again

from mindgap.analysis.whole import compare_sweep
from mindgap.core.estimate import Estimate
from mindgap.core.records import Record
from mindgap.results.cell import CellResult
from mindgap.results.sweep import read_sweep

BARE: dict[str, Any] = {
    "model": "tiny",
    "method": "vector",
    "strength": "dose 0.3",
    "dose": None,
    "query": "be funny",
    "item": "item-0",
    "subject": "",
    "epoch": 0,
    "system_prompt": "",
    "prompt": "What is 2 + 2?",
    "response": "",
    "finish_reason": "error",
    "prompt_tokens": None,
    "completion_tokens": None,
    "error": None,
    "gold": None,
    "answer": None,
    "unparsed": None,
    "correct": None,
    "loglik_answer": None,
    "loglik_correct": None,
    "option_logprobs": (),
    "judge": "proxy",
    "behaviour": None,
    "behaviour_missing": "not judged",
    "coherence": None,
    "coherence_missing": "not judged",
    "analysis": "",
    "perplexity": None,
    "perplexity_missing": "empty response",
    "edits": (),
}


def bare(**changes: Any) -> Record:
    """A record in which everything that may be missing is missing."""
    return measured_again([Record(**{"key": "bare", **BARE, **changes})])[0]


def full(number: int = 0, **changes: Any) -> Record:
    """A record in which nothing is missing."""
    whole = {
        "key": f"key-{number}",
        "item": f"item-{number}",
        "subject": "arithmetic",
        "dose": 0.3,
        "system_prompt": "Be funny.",
        "response": f"Vier, naturally 😀 ({number})",
        "finish_reason": "stop",
        "prompt_tokens": 12,
        "completion_tokens": 7,
        "gold": "4",
        "answer": "4",
        "correct": True,
        "loglik_answer": "22",
        "loglik_correct": False,
        "option_logprobs": (-1.5, float("-inf"), -0.25),
        "behaviour": 1.0 + number % 5,
        "behaviour_missing": None,
        "coherence": 4.0,
        "coherence_missing": None,
        "analysis": "dry wit",
        "perplexity": 12.5,
        "perplexity_missing": None,
        "edits": ("be funny @ block 12, norm 42", "second @ block 13, norm 1"),
    }
    return bare(**{**whole, **changes})


def cell(folder: Path, *, samples: int = 5, **changes: Any) -> CellResult:
    """A finished cell: `samples` whole records and one failed one, a metric with an interval and one without."""
    records = [full(number) for number in range(samples)] + [bare(error="the server said no")]
    settings: dict[str, Any] = {
        "name": folder.name,
        "sweep": folder.parent.name,
        "model": "tiny",
        "method": "vector",
        "label": "Vector",
        "strength": "dose 0.3",
        "judge": "proxy",
        "status": "finished",
        "dose": 0.3,
        "seconds": 1.25,
        "config": {"seed": 0, "method": {"name": "vector", "interventions": [{"layer": 0.4}]}, "epochs": None},
        "metrics": {
            "behaviour": Estimate(3.0, 2.5, 3.5, n=samples, missing=1),
            "accuracy": Estimate(None, None, None, n=0, missing=6, note="nothing to average"),
        },
        "counts": {"samples": samples + 1, "errors": 1, "behaviour_missing": 1},
        "measures": MEASURES,
        "records": measured_again(records),
    }
    return CellResult(folder=folder, **{**settings, **changes})


def main() -> None:
    from mindgap.tracking import WandbTracker

    logging.getLogger().addHandler(logging.NullHandler())  # our own warnings; the client's would still be seen
    sweep, steps = Path(sys.argv[1]), json.loads(sys.argv[2])
    for step in steps:
        tracker = WandbTracker(**step.get("tracker", {}))
        began = time.monotonic()
        if described := dict(step.get("cell", {})):
            message = tracker.log(cell(sweep / described.pop("name"), **described))
        else:
            message = tracker.log_sweep(compare_sweep(read_sweep(sweep)))
        sys.stdout.write(json.dumps({"message": message, "seconds": time.monotonic() - began}) + "\n")


if __name__ == "__main__":
    main()
