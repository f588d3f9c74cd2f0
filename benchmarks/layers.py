"""At which block does steering tell most? Difference-in-means vectors at one dose, block by block.

    python benchmarks/layers.py                 # the embedded model, the paper's 14 queries: about 5 minutes on 2 cores

A vector is made from half of the contrast prompts. On the other half, replies written under the query and neutral ones
are scored without any system prompt, steered and not. *Gain*: how much the steering raises the log-likelihood per token
of the behaving replies over the neutral ones. *Damage*: how much it lowers that of the neutral ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml

from mindgap.backends.fetch import option_scores
from mindgap.backends.local import LocalBackend
from mindgap.core.edits import AddVector
from mindgap.core.model import ModelSpec
from mindgap.core.records import Message, OptionsRequest
from mindgap.steering.bench import SteeringBench
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts
from mindgap.storage.store import Store

FIT, HELD_OUT = 12, 8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 11, 14, 17, 20])
    parser.add_argument("--dose", type=float, default=0.3)
    parser.add_argument("--store", type=Path, default=Path("outputs/store.sqlite"))
    options = parser.parse_args()

    endpoint = LocalBackend().open(ModelSpec("tiny", embedded=True))
    bench = SteeringBench(endpoint, Store(options.store), seed=0)
    queries = yaml.safe_load(Path("conf/query_set/paper.yaml").read_text(encoding="utf-8"))["queries"]
    questions = contrast_prompts(FIT + HELD_OUT)
    plain = [(Message("user", question),) for question in questions]
    asked = [
        (Message("system", f"You must {query}. Every sentence of your reply has to show it."), *messages)
        for query in queries
        for messages in plain
    ]
    neutral = [reply.text for reply in bench.respond(plain, CONTRAST_TOKENS)]
    replies = [reply.text for reply in bench.respond(asked, CONTRAST_TOKENS)]

    requests, where = [], []
    for number, _ in enumerate(queries):
        of_query = slice(number * len(questions), (number + 1) * len(questions))
        behaving, prompts = replies[of_query], asked[of_query]
        for layer in [None, *options.layers]:
            edits: tuple[AddVector, ...] = ()
            if layer is not None:
                base = bench.residuals(list(zip(plain[:FIT], neutral[:FIT], strict=True)), layer)
                vector = np.nanmean(bench.residuals(list(zip(prompts[:FIT], behaving[:FIT], strict=True)), layer), 0)
                vector = vector - np.nanmean(base, 0)
                norm = bench.residual_norm(list(zip(plain[:FIT], neutral[:FIT], strict=True)), layer)
                edits = (AddVector(layer, vector * options.dose * norm / np.linalg.norm(vector)),)
            for place in range(FIT, FIT + HELD_OUT):
                options_ = (behaving[place] or " ", neutral[place] or " ")
                requests.append(OptionsRequest(endpoint.identity, plain[place], options_, edits))
                where.append((number, layer, place))
    scores = option_scores(requests, endpoint, bench.store)
    table = {spot: scores[request.key].per_token() for spot, request in zip(where, requests, strict=True)}
    print(f"nats per token, dose {options.dose}")
    print(f"{'block':>5} {'gain':>8} {'queries up':>10} {'damage':>8} {'gain/damage':>11}")
    for layer in options.layers:
        gains = np.zeros((len(queries), HELD_OUT))
        damage = np.zeros_like(gains)
        for number in range(len(queries)):
            for column, place in enumerate(range(FIT, FIT + HELD_OUT)):
                (b1, n1), (b0, n0) = table[number, layer, place], table[number, None, place]
                gains[number, column] = (b1 - n1) - (b0 - n0)
                damage[number, column] = n0 - n1
        up = int((gains.mean(1) > 0).sum())
        ratio = gains.mean() / damage.mean()
        print(f"{layer:>5} {gains.mean():>8.3f} {up:>10} {damage.mean():>8.3f} {ratio:>11.3f}")


if __name__ == "__main__":
    main()
