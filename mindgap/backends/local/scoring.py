"""Log-likelihood of given replies, under the same steering as generation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.engine import PROMPT_TOKENS_PER_PASS, Engine
from mindgap.backends.local.steering import Steering
from mindgap.core.edits import Edit
from mindgap.core.errors import PromptError
from mindgap.core.records import OptionScores, OptionsRequest

LOGITS_PER_PASS = 64 * 2**20
"""Most logits one scoring pass may produce; bounds its memory to about 0.75 GB in float32."""


@dataclass(frozen=True)
class _Continuation:
    """One option to score: number `option` of request `index`."""

    index: int
    option: int
    tokens: list[int]


@dataclass(frozen=True)
class _Prefix:
    """A prompt under the steering of request `index`, and the options that follow it."""

    prompt: list[int]
    index: int
    continuations: list[_Continuation] = field(default_factory=list)

    @property
    def longest(self) -> int:
        return max((len(continuation.tokens) for continuation in self.continuations), default=0)


@dataclass(frozen=True)
class EncodedOptions:
    """A request to score options, as token ids.

    Attributes:
        prompt: What comes before them, at least one token.
        options: Each of them; one without tokens has likelihood 1.
        edits: What is done inside the model.
        error: Why it cannot be scored; None where it can.
    """

    prompt: list[int]
    options: list[list[int]]
    edits: tuple[Edit, ...] = ()
    error: str | None = None


@torch.inference_mode()
def loglikelihood(engine: Engine, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
    """Log-likelihood of every option of every request.

    Yields `(index, scores)` when the last option of a request is done. A prompt under the same steering is read
    once for all options that follow it, also across requests. A request with a text that the model cannot read at its
    length, or whose likelihood is no number, has an error.
    """
    encoded = [_encoded(engine, request) for request in requests]
    for index, request in enumerate(encoded):
        if request.error is not None:
            yield index, OptionScores((), (), request.error)
    for index, totals in log_likelihoods(engine, encoded):
        if not all(map(math.isfinite, totals)):
            error = "the log-likelihood is not a finite number: the model's logits are broken"
            yield index, OptionScores((), (), error)
        else:
            yield index, OptionScores(tuple(totals), tuple(map(len, encoded[index].options)))


@torch.inference_mode()
def log_likelihoods(engine: Engine, requests: Sequence[EncodedOptions]) -> Iterator[tuple[int, list[float]]]:
    """Yield `(index, log-likelihood of each option in nats)` of requests without an error, as they are done."""
    sums = [[0.0] * len(request.options) for request in requests]
    left = [sum(map(bool, request.options)) for request in requests]
    for index, request in enumerate(requests):
        if request.error is None and not left[index]:
            yield index, sums[index]
    steering = engine.steering([request.edits for request in requests])
    prefixes = _prefixes(requests)
    if engine.slots:
        groups = ((group, _score) for group in _scoring_groups(engine, prefixes))
    else:
        groups = (([prefix], _score_row_by_row) for prefix in prefixes)
    for group, score in groups:
        for continuation, total in score(engine, group, steering):
            index = continuation.index
            sums[index][continuation.option] = total
            left[index] -= 1
            if not left[index]:
                yield index, sums[index]


def _encoded(engine: Engine, request: OptionsRequest) -> EncodedOptions:
    try:
        prompt, options = engine.chat.with_replies(request.messages, request.options)
    except PromptError as refusal:
        return EncodedOptions([], [], request.edits, str(refusal))
    if request.tokens and len(prompt) + max(map(len, options)) > engine.context:
        options = [list(tokens) for tokens in request.tokens]
    longest = len(prompt) + max(map(len, options), default=0)
    if longest > engine.context:
        error = f"a text of {longest} tokens exceeds the model's context of {engine.context}"
        return EncodedOptions(prompt, [], request.edits, error)
    return EncodedOptions(prompt, options, request.edits)


def _prefixes(requests: Sequence[EncodedOptions]) -> list[_Prefix]:
    """Every distinct (prompt, steering) with the options that follow it, longest first."""
    prefixes: dict[tuple[object, ...], _Prefix] = {}
    for index, request in enumerate(requests):
        if request.error is not None:
            continue
        key = (tuple(request.prompt), *(edit.key for edit in request.edits))
        prefix = prefixes.setdefault(key, _Prefix(request.prompt, index))
        prefix.continuations.extend(
            _Continuation(index, number, tokens) for number, tokens in enumerate(request.options) if tokens
        )
    return sorted(
        (prefix for prefix in prefixes.values() if prefix.continuations),
        key=lambda prefix: (len(prefix.prompt), prefix.longest),
        reverse=True,
    )


def _scoring_groups(engine: Engine, prefixes: list[_Prefix]) -> Iterator[list[_Prefix]]:
    """Groups that fit one pass over prompts and one over options. A prefix with many options is split."""
    group: list[_Prefix] = []
    for prefix in prefixes:
        longest = max([prefix.longest, *(member.longest for member in group)])
        width = max([len(prefix.prompt), *(len(member.prompt) for member in group)])
        logits = longest * engine.vocabulary
        most = min(PROMPT_TOKENS_PER_PASS // longest, LOGITS_PER_PASS // logits, engine.rows_in_memory(width + longest))
        rows = sum(len(member.continuations) for member in group)
        if group and (rows + len(prefix.continuations) > most or width * (len(group) + 1) > PROMPT_TOKENS_PER_PASS):
            yield group
            group = []
        step = max(1, most)
        for start in range(step, len(prefix.continuations), step):
            yield [replace(prefix, continuations=prefix.continuations[start : start + step])]
        group.append(replace(prefix, continuations=prefix.continuations[:step]))
    if group:
        yield group


def _score(engine: Engine, group: list[_Prefix], steering: Steering) -> Iterator[tuple[_Continuation, float]]:
    """Read the prompts once, copy their slots to one row per option, append the options, sum their logprobs."""
    rows = [(slot, continuation) for slot, prefix in enumerate(group) for continuation in prefix.continuations]
    width = max(len(prefix.prompt) for prefix in group)
    longest = max(prefix.longest for prefix in group)
    cache = SlotCache(engine.layers, max(len(rows), len(group)), width + longest)
    source = torch.tensor([slot for slot, _ in rows], device=engine.device)
    if width > 1:
        cache.begin_prompts(0)
        engine.pass_over_prompts(
            [prefix.prompt[:-1] for prefix in group], [prefix.index for prefix in group], cache, steering
        )
        cache.move(source, torch.arange(len(rows), device=engine.device), width)
    tokens, real = engine.padded([[group[slot].prompt[-1], *c.tokens[:-1]] for slot, c in rows])
    targets, _ = engine.padded([continuation.tokens for _, continuation in rows])
    starts = torch.tensor([[len(group[slot].prompt) - 1] for slot, _ in rows], device=engine.device)
    positions = starts + torch.arange(tokens.shape[1], device=engine.device)
    span = int(starts.max()) + tokens.shape[1]
    requests = torch.tensor([continuation.index for _, continuation in rows], device=engine.device)
    steering.rows_are(requests, response=True, real=real)
    logits = engine.pass_over_extension(tokens, positions, span, cache, steering).float()
    chosen = logits.gather(-1, targets[:, :, None])[:, :, 0] - logits.logsumexp(-1)
    sums: list[float] = (chosen.double() * real).sum(-1).tolist()
    yield from zip((continuation for _, continuation in rows), sums, strict=True)


def _score_row_by_row(
    engine: Engine, group: list[_Prefix], steering: Steering
) -> Iterator[tuple[_Continuation, float]]:
    """Each option after its prompt by itself, for models whose state no slot can hold."""
    for prefix in group:
        start = len(prefix.prompt) - 1
        for continuation in prefix.continuations:
            tokens = [*prefix.prompt, *continuation.tokens]
            row = engine.pass_over_row(tokens[:-1], continuation.index, steering, response_from=start)
            logits = row[start:].float()
            targets = torch.tensor(continuation.tokens, device=engine.device)
            chosen = logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)
            yield continuation, float(chosen.double().sum())
