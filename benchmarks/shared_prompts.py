"""What it saves that what prompts and options begin with is read once, and equal prompts up to where they are steered.

    python benchmarks/shared_prompts.py [--rows 32] [--threads 1]
    python benchmarks/shared_prompts.py steered [--tokens 100] [--items 6] [--threads 1]

Two workloads of option scoring on the embedded model. *judge*: the scores that `judge=local` takes its expectations
over, of replies by one analysis: the reply up to a score, alone and with each of 1 to 5. *few-shot*: starter questions
under two steerings, each after the same five worked examples. `steered` is one of generation: items under 14 vectors in
two doses each, at block 11 of 30, with replies of 1 and of 16 tokens; what prompts begin with is shared both times, the
blocks up to the steered one only once. Both ways answer the same requests in this process, with and without sharing;
their likelihoods, or their replies, are compared. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mindgap.backends.local import LocalBackend, LocalEndpoint, scoring
from mindgap.backends.local.engine import SLOTS
from mindgap.core.edits import AddVector, Edit
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, JudgeRequest, Message, OptionsRequest, Request
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


def steered_requests(endpoint: LocalEndpoint, items: int, tokens: int, reply: int) -> list[Request]:
    """Greedy replies of `reply` tokens to prompts of about `tokens` tokens."""
    questions = [item.question for item in ChoiceQuestions("starter", "", 64).load()]
    words = " ".join(questions).split()
    prompts = []
    for item in range(items):
        length = 0
        asked = (Message("user", ""),)
        while len(endpoint.engine.chat.prompt(asked)) < tokens:
            length += 1
            asked = (Message("user", " ".join(words[item : item + length])),)
        prompts.append(asked)
    vectors = np.random.default_rng(0).standard_normal((14, endpoint.d_model))
    return [
        Request(endpoint.identity, prompt, Decoding(reply, 0.0), 0, (AddVector(11, dose * vector),))
        for prompt in prompts
        for vector in vectors
        for dose in (0.5, 1.0)
    ]


def steered(endpoint: LocalEndpoint, items: int, tokens: int) -> None:
    print(f"{'':18}{'requests':>9}{'all blocks':>12}{'shared':>9}{'ratio':>7}  replies that differ")
    for reply in (1, 16):
        requests = steered_requests(endpoint, items, tokens, reply)
        seconds, texts = [], []
        for way in SLOTS[::-1]:
            endpoint.engine.way = way
            began = time.process_time()
            replies = dict(endpoint.generate(requests))
            seconds.append(time.process_time() - began)
            texts.append([replies[index].text for index in range(len(requests))])
        whole, shared = seconds
        differ = sum(one != other for one, other in zip(*texts, strict=True))
        name = f"{tokens} in, {reply} out"
        print(f"{name:18}{len(requests):9}{whole:11.1f}s{shared:8.1f}s{whole / shared:7.2f}  {differ}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", choices=["options", "steered"], default="options")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--items", type=int, default=6)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    endpoint = LocalBackend().open(ModelSpec(name="tiny", embedded=True))
    if given.workload == "steered":
        steered(endpoint, given.items, given.tokens)
        return
    engine = endpoint.engine
    print(f"{'':12}{'requests':>9}{'apart':>9}{'shared':>9}{'ratio':>7}  largest difference")
    least = engine.least_saved, scoring.LEAST_TRUNK
    for name, make in (("judge", judge_requests), ("few-shot", few_shot_requests)):
        requests = make(endpoint, given.rows)
        seconds, likelihoods = [], []
        for bounds in ((10**9, 10**9), least):
            engine.least_saved, scoring.LEAST_TRUNK = bounds
            began = time.process_time()
            scores = dict(endpoint.loglikelihood(requests))
            seconds.append(time.process_time() - began)
            likelihoods.append(np.array([scores[index].logprobs for index in range(len(requests))]))
        apart, shared = seconds
        difference = np.abs(likelihoods[0] - likelihoods[1]).max()
        print(f"{name:12}{len(requests):9}{apart:8.1f}s{shared:8.1f}s{apart / shared:7.2f}  {difference:.1e} nats")


if __name__ == "__main__":
    main()
