"""What the programs of this folder share: the work, generation in padded batches, and the result that each writes.

Each is run as `python run_….py WORK RESULT` by `benchmarks/peers.py`, in an environment of its own; none but mindgap's
has mindgap in it. Loading the model is not timed. What a tool does to change the steering is.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

Reply = tuple[str, int]
"""Its text, and its tokens, the one that ended it included."""


@dataclass(frozen=True)
class Work:
    """What every peer does.

    Attributes:
        model: Folder of the model and its tokenizer.
        layer: The block to whose output vectors are added, at every position.
        stops: Token ids that end a reply.
        max_tokens: Longest reply.
        rows: Prompts in one batch.
        threads: Of torch.
        requests: Each with `prompt`, its text with the chat template applied, `messages`, and `vector`, the index of
            its steering vector, or None.
        options: Likewise, with the texts of its `options` and without messages.
        vectors: float32 `[vectors, d_model]`.
    """

    model: str
    layer: int
    stops: list[int]
    max_tokens: int
    rows: int
    threads: int
    requests: list[dict[str, Any]]
    options: list[dict[str, Any]]
    vectors: np.ndarray


def read() -> Work:
    """The work that the command line names."""
    path = Path(sys.argv[1])
    work = Work(**json.loads(path.read_text(encoding="utf-8")), vectors=np.load(path.with_name("vectors.npy")))
    torch.set_num_threads(work.threads)
    return work


def load(work: Work) -> tuple[Any, Any]:
    """Model and tokenizer, in float32, padding on the left."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(work.model, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(work.model, padding_side="left")


def tokens_of(tokenizer: Any, prompts: Sequence[str]) -> Any:
    """`input_ids` and `attention_mask`, both `[prompts, longest]`."""
    return tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False)


def settings(work: Work, tokenizer: Any) -> dict[str, Any]:
    """How `generate` of transformers chooses tokens here: greedily, until a stop token or the longest reply."""
    return {
        "max_new_tokens": work.max_tokens,
        "do_sample": False,
        "eos_token_id": work.stops,
        "pad_token_id": tokenizer.pad_token_id,
    }


def replies(new: torch.Tensor, work: Work, tokenizer: Any) -> list[Reply]:
    """What the tokens `[prompts, at most max_tokens]` say that `generate` added, up to the end of each reply."""
    found = []
    for row in new.tolist():
        end = next((place for place, token in enumerate(row) if token in work.stops), len(row))
        found.append((tokenizer.decode(row[:end], skip_special_tokens=True), min(end + 1, len(row))))
    return found


def generate(model: Any, tokenizer: Any, prompts: Sequence[str], work: Work) -> list[Reply]:
    """What `model.generate` answers to one batch."""
    inputs = tokens_of(tokenizer, prompts)
    with torch.inference_mode():
        output = model.generate(**inputs, **settings(work, tokenizer))
    return replies(output[:, inputs["input_ids"].shape[1] :], work, tokenizer)


def warm_up(model: Any, tokenizer: Any, work: Work) -> None:
    """Have `generate` set up what a first pass sets up."""
    generate(model, tokenizer, [work.requests[0]["prompt"]], replace(work, max_tokens=2))


@contextmanager
def adding(block: torch.nn.Module, vectors: np.ndarray) -> Iterator[None]:
    """While open, `vectors` are added to the block's output `[rows, tokens, d_model]`, by a forward hook."""
    added = torch.from_numpy(vectors)
    handle = block.register_forward_hook(lambda module, inputs, output: output + added)
    try:
        yield
    finally:
        handle.remove()


def one_at_a_time(work: Work, answer: Callable[[np.ndarray | None, list[str]], list[Reply]]) -> list[Reply]:
    """Replies to all requests, in batches that share a steering, prompts of like length together.

    Args:
        work: The requests.
        answer: Replies to prompts under a vector `[d_model]`, or unsteered.
    """
    return _in_batches(work, _by_steering(work), answer)


def mixed(work: Work, answer: Callable[[np.ndarray, list[str]], list[Reply]]) -> list[Reply]:
    """Likewise, in batches of any steering: `answer` is given a vector for every prompt `[prompts, d_model]`."""
    none = np.zeros_like(work.vectors[0])

    def of_rows(some: list[int], prompts: list[str]) -> list[Reply]:
        steered = [work.requests[index]["vector"] for index in some]
        return answer(np.stack([none if vector is None else work.vectors[vector] for vector in steered]), prompts)

    batches = ((some, some) for some in _split(range(len(work.requests)), work))
    return _in_batches(work, batches, of_rows)


def by_vector(requests: Sequence[dict[str, Any]]) -> dict[int | None, list[int]]:
    """Indices of the requests that share a vector, by its own index."""
    groups: dict[int | None, list[int]] = {}
    for index, request in enumerate(requests):
        groups.setdefault(request["vector"], []).append(index)
    return groups


def _by_steering(work: Work) -> Iterator[tuple[np.ndarray | None, list[int]]]:
    for vector, group in by_vector(work.requests).items():
        for some in _split(group, work):
            yield None if vector is None else work.vectors[vector], some


def _split(indices: Sequence[int], work: Work) -> Iterator[list[int]]:
    ordered = sorted(indices, key=lambda index: len(work.requests[index]["prompt"]))
    for start in range(0, len(ordered), work.rows):
        yield ordered[start : start + work.rows]


def _in_batches(work: Work, batches: Any, answer: Callable[[Any, list[str]], list[Reply]]) -> list[Reply]:
    found: list[Reply] = [("", 0)] * len(work.requests)
    for steering, some in batches:
        for index, reply in zip(some, answer(steering, [work.requests[i]["prompt"] for i in some]), strict=True):
            found[index] = reply
    return found


def report_replies(run: Callable[[], list[Reply]]) -> None:
    """Time `run` and write what came out. What a first pass sets up has to be done before."""
    times, found = _timed(run)
    _write(
        **times,
        samples=len(found),
        tokens=sum(tokens for _, tokens in found),
        texts=[text.strip() for text, _ in found],
    )


def report_scores(run: Callable[[], list[list[float]]]) -> None:
    """Likewise of log-likelihoods, in nats, of every request's options."""
    times, found = _timed(run)
    _write(**times, samples=sum(map(len, found)), scores=found)


def _timed(run: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Wall time and processor time of `run`, and what it returned."""
    began, spent = time.perf_counter(), time.process_time()
    found = run()
    return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - spent}, found


def _write(**result: Any) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    Path(sys.argv[2]).write_text(json.dumps(result | {"peak_mb": peak}), encoding="utf-8")
