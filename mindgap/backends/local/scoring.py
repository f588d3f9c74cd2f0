"""Log-likelihood of given replies, under the same steering as generation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import torch

from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.chat import Chat
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.gates import decided
from mindgap.backends.local.halving import TooLargeError, in_halves
from mindgap.backends.local.prompts import Prompt, acting, common, families, read
from mindgap.backends.local.running_text import pieces
from mindgap.backends.local.steering import Steering
from mindgap.core.edits import Edit
from mindgap.core.errors import PromptError
from mindgap.core.records import OptionScores, OptionsRequest

LOGITS_PER_PASS = 64 * 2**20
"""Most logits one scoring pass may produce; bounds its memory to about 0.75 GB in float32."""


LEAST_TRUNK = 8
"""Tokens that the options of a prompt have to begin with for these to be read once for all."""


@dataclass(frozen=True)
class _Continuation:
    """One option to score: number `option` of request `index`."""

    index: int
    option: int
    tokens: list[int]


@dataclass(frozen=True)
class _Prefix:
    """A prompt under the steering of request `index`, and the options that follow it.

    acting: What its edits do at the prompt; see `prompts.acting`.
    """

    prompt: list[int]
    index: int
    acting: tuple[str, ...]
    continuations: list[_Continuation] = field(default_factory=list)

    @property
    def to_read(self) -> Prompt:
        return Prompt(self.prompt[:-1], self.index, self.acting)

    @cached_property
    def longest(self) -> int:
        return max((len(continuation.tokens) for continuation in self.continuations), default=0)

    @cached_property
    def trunk(self) -> int:
        """Tokens that all of several options begin with; 0 where they are too few to be worth a pass of their own."""
        first, *others = (continuation.tokens for continuation in self.continuations)
        shared = min((common(first, tokens) for tokens in others), default=0)
        return shared if shared >= LEAST_TRUNK else 0


@dataclass(frozen=True)
class _Appended:
    """Tokens to be read behind what a slot holds.

    Attributes:
        before: The token before them, which is not in the slot yet.
        start: Where in the row's text that token stands.
        tokens: What follows; may be empty.
        end: Index of the last prompt token.
        request: Whose edits the row has.
    """

    before: int
    start: int
    tokens: list[int]
    end: int
    request: int


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


@dataclass(frozen=True)
class Likelihood:
    """How likely a text is.

    Attributes:
        nats: Log-likelihood, summed over its tokens.
        greedy: Whether greedy decoding would say it.
    """

    nats: float
    greedy: bool

    def __add__(self, other: Likelihood) -> Likelihood:
        return Likelihood(self.nats + other.nats, self.greedy and other.greedy)


CERTAIN = Likelihood(0.0, True)
"""Of a text without tokens."""


@dataclass(frozen=True)
class _Part:
    """Some of what a request asks for: its options from number `first` on, or a piece of option `first`."""

    index: int
    first: int
    encoded: EncodedOptions


@torch.inference_mode()
def loglikelihood(engine: Engine, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
    """Log-likelihood of every option of every request.

    Yields `(index, scores)` when the last option of a request is done. A prompt under the same steering is read
    once for all options that follow it, also across requests. A request with a text that the model cannot read at its
    length, or whose likelihood is no number, has an error.
    """
    parts = [part for index, request in enumerate(requests) for part in _parts(engine, index, request)]
    sums = [[CERTAIN] * len(request.options) for request in requests]
    tokens = [[0] * len(request.options) for request in requests]
    left = Counter(part.index for part in parts)
    failed: dict[int, str] = {}
    refused = ((number, part.encoded.error) for number, part in enumerate(parts) if part.encoded.error is not None)
    for number, totals in chain(refused, log_likelihoods(engine, [part.encoded for part in parts])):
        index, first, encoded = parts[number].index, parts[number].first, parts[number].encoded
        if isinstance(totals, str):
            failed.setdefault(index, totals)
        else:
            for option, (total, scored) in enumerate(zip(totals, encoded.options, strict=True), start=first):
                sums[index][option] += total
                tokens[index][option] += len(scored)
        left[index] -= 1
        if not left[index]:
            yield index, _scores(sums[index], tokens[index], failed.get(index))


def _scores(sums: Sequence[Likelihood], tokens: Sequence[int], failed: str | None) -> OptionScores:
    if failed is None and not all(math.isfinite(total.nats) for total in sums):
        failed = "the log-likelihood is not a finite number: the model's logits are broken"
    if failed is not None:
        return OptionScores((), (), failed)
    return OptionScores(
        tuple(total.nats for total in sums), tuple(tokens), greedy=tuple(total.greedy for total in sums)
    )


@torch.inference_mode()
def log_likelihoods(engine: Engine, requests: Sequence[EncodedOptions]) -> Iterator[tuple[int, list[Likelihood] | str]]:
    """Yield `(index, likelihood of each option)` of requests without an error, as they are done.

    In the place of log-likelihoods stands the reason where the memory here does not suffice for one of the options.
    """
    sums = [[CERTAIN] * len(request.options) for request in requests]
    left = [sum(map(bool, request.options)) for request in requests]
    for index, request in enumerate(requests):
        if request.error is None and not left[index]:
            yield index, sums[index]
    edits = decided(engine, [request.prompt for request in requests], [request.edits for request in requests])
    requests = [replace(request, edits=some) for request, some in zip(requests, edits, strict=True)]
    steering = engine.steering(edits)
    prefixes = _prefixes(requests)
    shared = [prefix for prefix in prefixes if len(prefix.prompt) + prefix.longest <= engine.shared_context]
    alone = [prefix for prefix in prefixes if len(prefix.prompt) + prefix.longest > engine.shared_context]
    groups = ((group, _score) for group in _scoring_groups(engine, shared))
    failed: dict[int, str] = {}
    for group, score in chain(groups, (([prefix], _score_row_by_row) for prefix in alone)):
        rows = [(prefix, continuation) for prefix in group for continuation in prefix.continuations]
        for continuation, total in _scored(engine, rows, score, steering):
            index = continuation.index
            if isinstance(total, str):
                failed[index] = total
            else:
                sums[index][continuation.option] = total
            left[index] -= 1
            if not left[index]:
                yield index, failed.get(index, sums[index])


_Row = tuple[_Prefix, _Continuation]
_Scored = list[tuple[_Continuation, Likelihood]]


def _scored(
    engine: Engine,
    rows: Sequence[_Row],
    score: Callable[[Engine, list[_Prefix], Steering], _Scored],
    steering: Steering,
) -> Iterator[tuple[_Continuation, Likelihood | str]]:
    """Each row's likelihood, or why there is none; in parts where memory runs out."""

    def work(part: Sequence[_Row]) -> _Scored:
        group: list[_Prefix] = []
        for prefix, continuation in part:
            if not group or group[-1].prompt is not prefix.prompt or group[-1].index != prefix.index:
                group.append(replace(prefix, continuations=[]))
            group[-1].continuations.append(continuation)
        return score(engine, group, steering)

    try:
        parts = in_halves(engine, rows, work)
    except TooLargeError as error:
        if len(rows) < 2:
            yield rows[0][1], str(error)
            return
        parts = []
    for _, scored in parts:
        yield from scored
    if not parts:  # one of several is too large: the others are not
        for row in rows:
            yield from _scored(engine, [row], score, steering)


def _parts(engine: Engine, index: int, request: OptionsRequest) -> list[_Part]:
    """A request as token ids; one of a text as it stands comes in pieces."""
    if not request.as_text:
        return [_Part(index, 0, encoded(engine.chat, engine.context, request))]
    prompt = request.messages[0].content if request.messages else None
    try:
        scored = list(pieces(engine.chat.tokenizer, prompt, request.options, engine.context))
    except PromptError as refusal:
        return [_Part(index, 0, EncodedOptions([], [], error=str(refusal)))]
    if not scored:  # texts without tokens
        return [_Part(index, 0, EncodedOptions([], [[] for _ in request.options]))]
    return [_Part(index, p.option, EncodedOptions(p.prompt, [p.tokens], request.edits)) for p in scored]


def encoded(chat: Chat, context: int, request: OptionsRequest) -> EncodedOptions:
    """A request to score options as token ids, or why it cannot be scored.

    Args:
        chat: The model's.
        context: Longest text that it can read, in tokens.
        request: The request.
    """
    try:
        prompt, options = chat.with_replies(request.messages, request.options)
    except PromptError as refusal:
        return EncodedOptions([], [], request.edits, str(refusal))
    if request.tokens and len(prompt) + max(map(len, options)) > context:
        options = [list(tokens) for tokens in request.tokens]
    longest = len(prompt) + max(map(len, options), default=0)
    if longest > context:
        error = f"a text of {longest} tokens exceeds the model's context of {context}"
        return EncodedOptions(prompt, [], request.edits, error)
    return EncodedOptions(prompt, options, request.edits)


def _prefixes(requests: Sequence[EncodedOptions]) -> list[_Prefix]:
    """Every distinct (prompt, steering) with the options that follow it, longest first, but families stay together."""
    prefixes: dict[tuple[object, ...], _Prefix] = {}
    for index, request in enumerate(requests):
        if request.error is not None:
            continue
        key = (tuple(request.prompt), *(edit.key for edit in request.edits))
        acts = acting(request.edits, len(request.prompt) - 1)
        prefix = prefixes.setdefault(key, _Prefix(request.prompt, index, acts))
        prefix.continuations.extend(
            _Continuation(index, number, tokens) for number, tokens in enumerate(request.options) if tokens
        )
    asked = sorted(
        (prefix for prefix in prefixes.values() if prefix.continuations),
        key=lambda prefix: (len(prefix.prompt), prefix.longest),
        reverse=True,
    )
    together = sorted(sorted(members) for members in families([prefix.to_read for prefix in asked]))
    return [asked[index] for members in together for index in members]


def _scoring_groups(engine: Engine, prefixes: list[_Prefix]) -> Iterator[list[_Prefix]]:
    """Groups whose options fit one pass. A prefix with many options is split."""
    group: list[_Prefix] = []
    for prefix in prefixes:
        for part in _split(engine, prefix):
            if group and not _fits(engine, [*group, part]):
                yield group
                group = []
            group.append(part)
    if group:
        yield group


def _split(engine: Engine, prefix: _Prefix) -> Iterator[_Prefix]:
    options = prefix.continuations
    if len(options) == 1 or _fits(engine, [prefix]):
        yield prefix
        return
    for half in (options[: len(options) // 2], options[len(options) // 2 :]):
        yield from _split(engine, replace(prefix, continuations=half))


def _fits(engine: Engine, group: Sequence[_Prefix]) -> bool:
    """Whether no pass over trunks or options has too many tokens, logits or rows."""
    options = sum(len(prefix.continuations) for prefix in group)
    trunk, rest = _widths(group)
    most = min(engine.tokens_per_pass(), engine.tokens_per_pass(LOGITS_PER_PASS) // engine.vocabulary)
    return max(len(group) * trunk, options * rest) <= most and options <= engine.rows_in_memory(_capacity(group))


def _capacity(group: Sequence[_Prefix]) -> int:
    """Positions that a slot needs for any of these, padded to the longest of its pass."""
    return max(len(prefix.prompt) + prefix.trunk for prefix in group) + max(_widths(group))


def _widths(group: Sequence[_Prefix]) -> tuple[int, int]:
    """Tokens of the longest trunk, and of the longest that follows one."""
    return max(prefix.trunk for prefix in group), max(prefix.longest - prefix.trunk for prefix in group)


def _score(engine: Engine, group: list[_Prefix], steering: Steering) -> _Scored:
    """Read prompts and what all of a prompt's options begin with once, copy slots to one row per option, read on."""
    longest = _capacity(group)
    cache = SlotCache(engine.layers, sum(len(prefix.continuations) for prefix in group), longest)
    order = read(engine, cache, steering, [prefix.to_read for prefix in group])
    group = [group[index] for index in order]
    trunks = [_appended(prefix, prefix.prompt, prefix.continuations[0].tokens[: prefix.trunk]) for prefix in group]
    sums = _append(engine, cache, steering, trunks)
    scored: _Scored = []
    slots, rows, ending = [], [], []
    for slot, prefix in enumerate(group):
        for continuation in prefix.continuations:
            text, rest = [*prefix.prompt, *continuation.tokens[: prefix.trunk]], continuation.tokens[prefix.trunk :]
            if rest:
                slots.append(slot)
                rows.append(_appended(prefix, text, rest))
                ending.append(continuation)
            else:
                scored.append((continuation, sums[slot]))
    cache.move(
        torch.tensor(slots, dtype=torch.long, device=engine.device),
        torch.arange(len(rows), device=engine.device),
        longest,
    )
    likelihoods = _append(engine, cache, steering, rows)
    return scored + [
        (continuation, sums[slot] + likelihood)
        for continuation, slot, likelihood in zip(ending, slots, likelihoods, strict=True)
    ]


def _appended(prefix: _Prefix, text: Sequence[int], tokens: list[int]) -> _Appended:
    """`tokens` behind `text`, which is the prompt, perhaps with the beginning of an option."""
    return _Appended(text[-1], len(text) - 1, tokens, len(prefix.prompt) - 1, prefix.index)


def _append(engine: Engine, cache: SlotCache, steering: Steering, rows: Sequence[_Appended]) -> list[Likelihood]:
    """Read on in slots 0, 1, …; how likely the tokens of each row were."""
    if not any(row.tokens for row in rows):
        return [CERTAIN] * len(rows)
    device = engine.device
    tokens, real = engine.padded([[row.before, *row.tokens][: len(row.tokens)] for row in rows])
    targets, _ = engine.padded([row.tokens for row in rows])
    starts = torch.tensor([[row.start] for row in rows], device=device)
    positions = starts + torch.arange(tokens.shape[1], device=device)
    span = int(starts.max()) + tokens.shape[1]
    requests = torch.tensor([row.request for row in rows], device=device)
    ends = torch.tensor([row.end for row in rows], device=device)
    steering.rows_are(requests, response=True, real=real, ends=ends)
    logits = engine.pass_over_extension(tokens, positions, span, cache, steering).float()
    chosen = logits.gather(-1, targets[:, :, None])[:, :, 0] - logits.logsumexp(-1)
    sums: list[float] = (chosen.double() * real).sum(-1).tolist()
    greedy: list[bool] = ((logits.argmax(-1) == targets) | ~real).all(-1).tolist()
    return list(map(Likelihood, sums, greedy))


def _score_row_by_row(engine: Engine, group: list[_Prefix], steering: Steering) -> _Scored:
    """Each option after its prompt by itself: for models whose state no slot can hold, and texts that share no pass."""
    scored = []
    for prefix in group:
        start = len(prefix.prompt) - 1
        for continuation in prefix.continuations:
            tokens = [*prefix.prompt, *continuation.tokens]
            row = engine.pass_over_row(tokens, continuation.index, steering, response_from=start)
            logits = row[:-1].float()
            targets = torch.tensor(continuation.tokens, device=engine.device)
            chosen = logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)
            greedy = bool((logits.argmax(-1) == targets).all())
            scored.append((continuation, Likelihood(float(chosen.double().sum()), greedy)))
    return scored
