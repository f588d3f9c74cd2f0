"""A trial when a model is opened: is every row of a mixed batch what a plain forward pass says it is?

A few short rows under different steering are continued in one batch, their options scored and their residual stream
read; all is compared with passes of each row alone, steered by a hook of the trial's own. Before, the model has to be
causal. It protects against architectures that nobody has listed. The verdict is kept by model and versions, so a trial
costs once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mindgap.backends.local.block_output import stream_of, with_stream
from mindgap.backends.local.engine import Engine, Way
from mindgap.backends.local.residuals import residual_stream
from mindgap.backends.local.rows import Row
from mindgap.backends.local.scoring import EncodedOptions, log_likelihoods
from mindgap.backends.local.session import open_session
from mindgap.core.edits import AddVector, Positions
from mindgap.core.errors import MindgapError, UnavailableError
from mindgap.core.keys import content_key
from mindgap.core.records import Decoding
from mindgap.storage.findings import finding

log = logging.getLogger(__name__)

WAYS: tuple[Way, ...] = ("slots", "own cache", "no cache")
"""From the fastest to the one that is right for every causal LM."""
VERSION = 3
"""Raise it when the trial or the engine changes what may pass."""
LENGTHS = (3, 9, 14)
"""Tokens of the prompts."""
LONGEST = 96
"""A window of fewer tokens than this is overstepped by the last row."""
NEW_TOKENS = 4
OPTION_LENGTHS = (2, 4)
"""Tokens of the options that are scored."""
NORM = 0.5
"""Of the trial's steering vectors, over the norm of the residual stream."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 4e-2, torch.float16: 6e-3}
"""Largest difference of a logit, over the largest logit, by number type."""
QUANTISED = 8e-2
"""The same where weights are quantised: products of whole batches round otherwise than those of rows. Up to 5e-2 was
measured, with bitsandbytes' 8 bits, which quantise the residual stream as well; up to 5e-3 with its 4 bits."""
SEAM = (MindgapError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError)
"""What a model's own code may raise where our way of calling it does not suit it."""


@dataclass(frozen=True)
class Trial:
    """One row: its tokens and its steering."""

    tokens: list[int]
    edits: tuple[AddVector, ...]


def tried(engine: Engine, identity: str) -> Way:
    """The fastest way of reading rows that gives what plain passes give.

    Args:
        engine: The model.
        identity: What the verdict is kept under, beside versions and device.

    Raises:
        UnavailableError: Where there is no such way; it says what differs.
    """
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "trial": VERSION}
    key = content_key("trial", model=identity, dtype=str(engine.dtype), device=engine.device.type, **versions)
    verdict = finding("trials", key, lambda: try_out(engine))
    way: Way | None = next((way for way in WAYS if way == verdict["way"]), None)
    if way is None:
        raise UnavailableError(
            f"{identity}: a model of this kind ({type(engine.model).__name__}) cannot be steered rightly here: "
            f"{verdict['why']}. Nothing was generated with it"
        )
    if way != "slots":
        log.warning(
            "%s: rows of this kind of model cannot share a batch (%s); each is read by itself%s, which is slow",
            type(engine.model).__name__,
            verdict["why"],
            "" if way == "own cache" else " and anew for every token",
        )
    return way


def try_out(engine: Engine) -> dict[str, Any]:
    """The verdict: `way`, None where there is none, and `why` it is not by slots."""
    usual = engine.way
    why = f"its layers ({', '.join(sorted(engine.attention.kinds))}) remember more than keys and values"
    try:
        if (flaw := _flaw(engine)) is not None:
            return {"way": None, "why": flaw}
        trials = _trials(engine)
        for way in WAYS[WAYS.index(usual) :]:
            engine.way = way
            difference = _difference(engine, trials)
            if difference is None:
                return {"way": way, "why": why}
            # The first reason is the one that tells why the fastest way is closed.
            why = difference if way == "slots" or way == WAYS[-1] else why
    except SEAM as error:
        why = _said(error)
        if not isinstance(error, MindgapError):
            why = f"it does not read plain text by itself ({why})"
    finally:
        engine.way = usual
    return {"way": None, "why": why}


@torch.inference_mode()
def _flaw(engine: Engine) -> str | None:
    """What no way of reading rows could mend: None where the model is causal and its numbers are finite."""
    tokens = _tokens(engine, np.random.default_rng(2), LENGTHS[2])
    whole = _plain(engine, tokens, (), response_from=0)
    if not bool(torch.isfinite(whole).any()):
        return "its logits are no finite numbers, even unsteered"
    part = _plain(engine, tokens[: LENGTHS[1]], (), response_from=0)
    if not _close(engine, whole[: len(part)], part) <= 1:
        return "a token sees those that come after it, so that it does not predict them: it is no causal language model"
    shape = tuple(residual_stream(engine, [tokens], 0).shape)
    if shape != (1, len(tokens), engine.d_model):
        return f"its blocks give {list(shape)} where [1 row, {len(tokens)} tokens, {engine.d_model} wide] was expected"
    return None


def _trials(engine: Engine) -> list[Trial]:
    """Rows of several lengths: unsteered, steered everywhere, and steered where the reply is predicted."""
    rng = np.random.default_rng(0)
    reach = engine.attention.window or engine.attention.chunk
    most = engine.context - max(NEW_TOKENS, *OPTION_LENGTHS)
    lengths = [*LENGTHS[:2], reach + 6 if reach and reach + 6 <= LONGEST else LENGTHS[2]]
    lengths = [max(1, min(length, most)) for length in lengths]
    middle = engine.layers // 2
    size = NORM * _typical_norm(engine, middle)

    def vector(layer: int, positions: Positions) -> AddVector:
        direction = rng.standard_normal(engine.d_model)
        return AddVector(layer, (direction / np.linalg.norm(direction) * size).astype(np.float32), positions)

    steerings: list[tuple[AddVector, ...]] = [
        (),
        (vector(middle, "all"),),
        (vector(0, "all"), vector(middle, "response")),
    ]
    return [Trial(_tokens(engine, rng, length), edits) for length, edits in zip(lengths, steerings, strict=True)]


def _tokens(engine: Engine, rng: np.random.Generator, length: int) -> list[int]:
    """Random tokens, none of those that stand for something else: padding, an end, a picture."""
    configs = {id(config): config for config in (engine.config, engine.model.config)}.values()
    special = {
        value
        for config in configs
        for name, value in vars(config).items()
        if name.endswith(("token_id", "token_index"))
        if isinstance(value, int)
    }
    ordinary = [token for token in range(engine.vocabulary) if token not in special]
    tokens: list[int] = rng.choice(ordinary, length).tolist()
    return tokens


@torch.inference_mode()
def _typical_norm(engine: Engine, layer: int) -> float:
    tokens = _tokens(engine, np.random.default_rng(1), 6)
    norm = float(residual_stream(engine, [tokens], layer)[0, 1:].float().norm(dim=-1).median())
    return norm if np.isfinite(norm) and norm > 0 else 1.0


def _close(engine: Engine, actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, over what rounding may make of it: at most 1 where they are equal."""
    scale = max(1.0, float(expected.abs().max()))
    return float((actual - expected).abs().max()) / scale / _tolerance(engine)


def _tolerance(engine: Engine) -> float:
    usual = TOLERANCE[engine.dtype]
    return max(usual, QUANTISED) if engine.quantised else usual


@torch.inference_mode()
def _difference(engine: Engine, trials: Sequence[Trial]) -> str | None:
    """What differs between rows in one batch and each row alone; None where nothing does."""
    try:
        return (
            _generation_differs(engine, trials) or _scores_differ(engine, trials) or _residuals_differ(engine, trials)
        )
    except SEAM as error:
        return _said(error) if isinstance(error, MindgapError) else f"such a pass fails ({_said(error)})"


def _generation_differs(engine: Engine, trials: Sequence[Trial]) -> str | None:
    for trial, (steps, reply) in zip(trials, _batched(engine, trials), strict=True):
        for step, logits in enumerate(steps):
            tokens = [*trial.tokens, *reply[:step]]
            expected = _plain(engine, tokens, trial.edits, response_from=len(trial.tokens) - 1)[-1]
            apart = _close(engine, logits, expected)
            if not apart <= 1:
                what = "a steered" if trial.edits else "an unsteered"
                apart *= _tolerance(engine)
                return f"logits of {what} row in a batch differ from the row's own by {apart:.1e}"
    return None


def _scores_differ(engine: Engine, trials: Sequence[Trial]) -> str | None:
    rng = np.random.default_rng(3)
    options = [_tokens(engine, rng, length) for length in OPTION_LENGTHS]
    asked = [EncodedOptions(trial.tokens, options, trial.edits) for trial in trials]
    for index, totals in log_likelihoods(engine, asked):
        if isinstance(totals, str):
            return totals
        trial = trials[index]
        start = len(trial.tokens) - 1
        for option, total in zip(options, totals, strict=True):
            logits = _plain(engine, [*trial.tokens, *option], trial.edits, response_from=start)[start:-1]
            targets = torch.tensor(option, device=engine.device)[:, None]
            expected = logits.log_softmax(-1).gather(-1, targets).sum()
            # each logit that enters may be off by the tolerance
            apart = _close(engine, torch.tensor(total.nats), expected.cpu()) / len(option)
            if not apart <= max(1.0, float(logits.abs().max())):
                return f"a log-likelihood of {total.nats:.4g} was computed where it is {float(expected):.4g}"
    return None


def _residuals_differ(engine: Engine, trials: Sequence[Trial]) -> str | None:
    layer = engine.layers // 2
    sequences = [trial.tokens for trial in trials]
    groups = [sequences] if engine.slots else [[sequence] for sequence in sequences]
    batched = [row for group in groups for row in residual_stream(engine, group, layer).float()]
    for sequence, row in zip(sequences, batched, strict=True):
        (expected,) = residual_stream(engine, [sequence], layer).float()
        if not _close(engine, row[: len(sequence)], expected) <= 1:
            return "the residual stream of a row in a batch differs from the row's own"
    return None


def _batched(engine: Engine, trials: Sequence[Trial]) -> list[tuple[list[torch.Tensor], list[int]]]:
    """Each row's logits at every step of a batch of all, and the tokens that were chosen."""
    logits_of: list[list[torch.Tensor]] = [[] for _ in trials]
    session = open_session(engine, edits=[trial.edits for trial in trials])
    decoding, uniform = Decoding(NEW_TOKENS, 0), np.zeros(NEW_TOKENS, dtype=np.float32)
    rows = [Row(number, trial.tokens, decoding, uniform, trial.edits) for number, trial in enumerate(trials)]
    session.admit(rows)
    for _ in range(NEW_TOKENS):
        order = [row.index for row in session.rows]
        for index, logits in zip(order, session.step().float(), strict=True):
            logits_of[index].append(logits.clone())
    return [(logits_of[row.index], row.reply) for row in rows]


def _plain(engine: Engine, tokens: Sequence[int], edits: Sequence[AddVector], *, response_from: int) -> torch.Tensor:
    """Logits `[tokens, vocabulary]` of a row by transformers alone, steered by hooks that know nothing of batches."""

    def hook(edit: AddVector) -> Any:
        vector = torch.tensor(edit.vector, device=engine.device, dtype=engine.dtype)
        start = response_from if edit.positions == "response" else 0

        def add(module: object, args: object, output: Any) -> Any:
            hidden = stream_of(output).clone()
            hidden[:, start:] += vector
            return with_stream(output, hidden)

        return add

    handles = [engine.blocks[edit.layer].register_forward_hook(hook(edit)) for edit in edits]
    try:
        output = engine.model(input_ids=torch.tensor([list(tokens)], device=engine.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    logits: torch.Tensor = output.logits[0].float()
    return logits


def _said(error: Exception) -> str:
    first = (str(error).strip().splitlines() or ["no reason given"])[0]
    return first if isinstance(error, MindgapError) else f"{type(error).__name__}: {first[:200]}"
