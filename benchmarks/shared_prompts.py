"""What it saves that prompts and options that begin alike are read once: a judge on this machine, and few-shot items.

    python benchmarks/shared_prompts.py [--rows 32] [--threads 1]

Two workloads of option scoring on the embedded model. *judge*: the scores that `judge=local` takes its expectations
over, of replies by one analysis: the reply up to a score, alone and with each of 1 to 5. *few-shot*: starter questions
under two steerings, each after the same five worked examples. Both ways answer the same requests in this process, with
and without sharing; their likelihoods are compared. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mindgap.backends.local import LocalBackend, LocalEndpoint, prompts, scoring
from mindgap.core.edits import AddVector, Edit
from mindgap.core.model import ModelSpec
from mindgap.core.records import JudgeRequest, Message, OptionsRequest
from mindgap.judges.prompts import messages
from mindgap.tasks.questions import ChoiceQuestions

ANALYSIS = (
    '{"analysis": "The reply answers the question in two short sentences that follow from each other. It shows little '
    'of the behaviour that was asked for, apart from its last words.", "behaviour": '
)
RUBRIC = "1 - Nothing in the reply is funny.\n3 - A joke or two.\n5 - Funny from the first word to the last."
RESPONSE = "It is as it is. Nobody knows why it is so."


def judge_requests(endpoint: LocalEndpoint, rows: int) -> list[OptionsRequest]:
    questions = ChoiceQuestions("starter", "", 64, limit=rows).load()
    options = (ANALYSIS, *(f"{ANALYSIS}{score}" for score in range(1, 6)))
    cases = [JudgeRequest("be funny", RUBRIC, q.question, RESPONSE) for q in questions]
    return [OptionsRequest(endpoint.identity, messages(case), options) for case in cases]


def few_shot_requests(endpoint: LocalEndpoint, rows: int) -> list[OptionsRequest]:
    *items, a, b, c, d, e = ChoiceQuestions("starter", "Answer the question.", 64, limit=rows // 2 + 5).load()
    shots = [
        m for q in (a, b, c, d, e) for m in (Message("user", q.question), Message("assistant", q.options[q.gold or 0]))
    ]
    direction = np.random.default_rng(0).standard_normal(endpoint.d_model)
    steerings: list[tuple[Edit, ...]] = [(), (AddVector(11, direction),)]
    return [
        OptionsRequest(endpoint.identity, (*shots, Message("user", q.question)), q.options, edits)
        for edits in steerings
        for q in items
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    endpoint = LocalBackend().open(ModelSpec(name="tiny", embedded=True))
    print(f"{'':12}{'requests':>9}{'apart':>9}{'shared':>9}{'ratio':>7}  largest difference")
    least = prompts.LEAST_SAVED, scoring.LEAST_TRUNK
    for name, make in (("judge", judge_requests), ("few-shot", few_shot_requests)):
        requests = make(endpoint, given.rows)
        seconds, likelihoods = [], []
        for bounds in ((10**9, 10**9), least):
            prompts.LEAST_SAVED, scoring.LEAST_TRUNK = bounds
            began = time.process_time()
            scores = dict(endpoint.loglikelihood(requests))
            seconds.append(time.process_time() - began)
            likelihoods.append(np.array([scores[index].logprobs for index in range(len(requests))]))
        apart, shared = seconds
        difference = np.abs(likelihoods[0] - likelihoods[1]).max()
        print(f"{name:12}{len(requests):9}{apart:8.1f}s{shared:8.1f}s{apart / shared:7.2f}  {difference:.1e} nats")


if __name__ == "__main__":
    main()
