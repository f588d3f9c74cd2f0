"""Tokens per second of the local backend against plain transformers, on one mixed workload.

    python benchmarks/generation.py [--items 24] [--rows 64] [--threads 2] [--rounds 1]

The workload is 4 methods × 3 queries × `--items` starter questions on the embedded model, answered freely and with real
stopping: unsteered, prompted, steered by a vector, and both. Plain transformers does what a user would write: one
`generate` call per batch that shares a steering, with a forward hook that adds the vector. Both answer the same
requests in this process, one after the other, in rounds; the better round of each is compared. The third line runs the
engine on the same messages without steering, so the difference to the first is what steering costs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import numpy as np

from mindgap.backends.local import LocalBackend, LocalEndpoint
from mindgap.core.edits import AddVector
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Request
from mindgap.steering.vectors import contrast_prompts
from mindgap.tasks.questions import ChoiceQuestions

SYSTEM = "Answer the question in two or three sentences."
QUERIES = ("be funny", "be emotional and empathetic", "be motivational and inspiring")


def workload(endpoint: LocalEndpoint, items: int, max_tokens: int) -> list[Request]:
    """Requests in the order a study would make them: by method, then by query."""
    layer = round(0.4 * endpoint.layers) - 1
    texts = [((Message("user", prompt),), "This is an answer of a few words.") for prompt in contrast_prompts(4)]
    norm = float(np.median(endpoint.residual_norms(texts, layer)))
    requests = []
    for method in ("control", "prompt", "vector", "combined"):
        for number, query in enumerate(QUERIES):
            direction = np.random.default_rng(number).standard_normal(endpoint.d_model)
            vector = AddVector(layer, direction * (0.1 * norm / np.linalg.norm(direction)))
            system = SYSTEM
            if method in ("prompt", "combined"):
                system += f"\n\nWhen answering, please {query}."
            edits = (vector,) if method in ("vector", "combined") else ()
            for item, question in enumerate(ChoiceQuestions("starter", SYSTEM, max_tokens, limit=items).load()):
                messages = (Message("system", system), Message("user", question.question))
                decoding = Decoding(max_tokens=max_tokens, temperature=0.6, top_p=0.9)
                requests.append(Request(endpoint.identity, messages, decoding, item, edits))
    return requests


def ours(endpoint: LocalEndpoint, requests: list[Request]) -> int:
    return sum(completion.completion_tokens or 0 for _, completion in endpoint.generate(requests))


def plain(endpoint: LocalEndpoint, requests: list[Request]) -> int:
    """One padded `generate` call per run of requests that share method and query."""
    import torch

    model, tokenizer = endpoint.engine.model, endpoint.engine.tokenizer
    tokenizer.padding_side = "left"
    generated = 0
    for _, batch in groupby(requests, key=lambda r: (r.messages[0], tuple(edit.key for edit in r.edits))):
        group = list(batch)
        prompts = [endpoint.engine.chat.render(request.messages) for request in group]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        handles = [hook(endpoint, edit) for edit in group[0].edits]
        decoding = group[0].decoding
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=decoding.max_tokens,
                do_sample=True,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                top_k=0,
                pad_token_id=tokenizer.pad_token_id,
            )
        for handle in handles:
            handle.remove()
        replies = output[:, inputs["input_ids"].shape[1] :]
        ended = (replies == tokenizer.eos_token_id).cumsum(1) > 0
        generated += int((~ended).sum()) + int(ended.any(1).sum())  # up to and with the end of each reply
    return generated


def hook(endpoint: LocalEndpoint, edit: AddVector):  # type: ignore[no-untyped-def]
    import torch

    vector = torch.tensor(edit.vector)
    return endpoint.engine.blocks[edit.layer].register_forward_hook(lambda module, args, output: output + vector)


def measure(run: Callable[[], int]) -> tuple[int, float]:
    began = time.perf_counter()
    tokens = run()
    return tokens, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    endpoint = LocalBackend(max_rows=arguments.rows).open(ModelSpec(name="tiny", embedded=True))
    requests = workload(endpoint, arguments.items, arguments.max_tokens)
    unsteered = [replace(request, edits=()) for request in requests]
    runs = {
        "mindgap, mixed batches": lambda: ours(endpoint, requests),
        "transformers.generate, one steering a batch": lambda: plain(endpoint, requests),
        "mindgap, same messages unsteered": lambda: ours(endpoint, unsteered),
    }
    best: dict[str, tuple[int, float]] = {}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            tokens, seconds = measure(run)
            print(f"{name}: {tokens} tokens in {seconds:.1f} s", file=sys.stderr, flush=True)
            if name not in best or tokens / seconds > best[name][0] / best[name][1]:
                best[name] = (tokens, seconds)
    first = next(iter(best.values()))
    print(f"{len(requests)} requests, {arguments.threads} threads, best of {arguments.rounds} rounds")
    print(f"{'':45}{'tokens':>8}{'seconds':>9}{'tokens/s':>10}{'ratio':>7}")
    for name, (tokens, seconds) in best.items():
        ratio = (first[0] / first[1]) / (tokens / seconds)
        print(f"{name:45}{tokens:8}{seconds:9.1f}{tokens / seconds:10.1f}{ratio:7.2f}")


if __name__ == "__main__":
    main()
