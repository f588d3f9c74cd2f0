"""A trial when a model is opened: is every row of a mixed batch what a plain forward pass says it is?

A few short rows under different steering are continued in one batch and compared with passes of each row alone, steered
by a hook of the trial's own. It protects against architectures that nobody has listed. The verdict is kept by model and
versions, so a trial costs once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import residual_stream
from mindgap.backends.local.session import Row, open_session
from mindgap.core.edits import AddVector, Positions
from mindgap.core.errors import MindgapError, UnavailableError
from mindgap.core.keys import content_key
from mindgap.core.records import Decoding
from mindgap.storage.atomic import replacing
from mindgap.storage.cache import cache_folder

log = logging.getLogger(__name__)

Way = Literal["slots", "row by row"]
VERSION = 1
"""Raise it when the trial or the engine changes what may pass."""
LENGTHS = (3, 9, 14)
"""Tokens of the prompts."""
LONGEST = 96
"""A window of fewer tokens than this is overstepped by the last row."""
NEW_TOKENS = 4
NORM = 0.5
"""Of the trial's steering vectors, over the norm of the residual stream."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 4e-2, torch.float16: 6e-3}
"""Largest difference of a logit, over the largest logit, by number type."""
SEAM = (MindgapError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError)
"""What a model's own code may raise where our way of calling it does not suit it."""


@dataclass(frozen=True)
class Trial:
    """One row: its tokens and its steering."""

    tokens: list[int]
    edits: tuple[AddVector, ...]


def tried(engine: Engine, identity: str) -> Way:
    """How the model can be run: by the slot cache, or one row at a time.

    Raises:
        UnavailableError: Where neither gives what a plain pass gives; it says what differs.
    """
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "trial": VERSION}
    key = content_key("trial", model=identity, dtype=str(engine.dtype), device=engine.device.type, **versions)
    path = cache_folder() / "trials" / f"{key}.json"
    if path.is_file():
        verdict = json.loads(path.read_text(encoding="utf-8"))
    else:
        verdict = try_out(engine)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(verdict), encoding="utf-8")
    if verdict["way"] is None:
        raise UnavailableError(
            f"{identity}: a model of this kind ({type(engine.model).__name__}) cannot be steered rightly here: "
            f"{verdict['why']}. Nothing was generated with it"
        )
    if verdict["way"] == "row by row":
        log.warning(
            "%s: rows of this kind of model cannot share a batch (%s); each is read by itself, which is slow",
            type(engine.model).__name__,
            verdict["why"],
        )
    return "slots" if verdict["way"] == "slots" else "row by row"


def try_out(engine: Engine) -> dict[str, str | None]:
    """The verdict: `way`, None where there is none, and `why` it is not by slots."""
    why = f"its layers ({', '.join(sorted(engine.attention.kinds))}) remember more than keys and values"
    usual = engine.slots
    try:
        trials = _trials(engine)
        for slots in (True, False) if usual else (False,):
            engine.slots = slots
            difference = _difference(engine, trials)
            if difference is None:
                return {"way": "slots" if slots else "row by row", "why": why}
            why = difference
    except SEAM as error:
        why = _said(error)
    finally:
        engine.slots = usual
    return {"way": None, "why": why}


def _trials(engine: Engine) -> list[Trial]:
    """Rows of several lengths: unsteered, steered everywhere, and steered where the reply is predicted."""
    rng = np.random.default_rng(0)
    reach = engine.attention.window or engine.attention.chunk
    lengths = [*LENGTHS[:2], reach + 6 if reach and reach + 6 <= LONGEST else LENGTHS[2]]
    vocabulary = int(engine.config.vocab_size)
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
    return [
        Trial(rng.integers(0, vocabulary, length).tolist(), edits)
        for length, edits in zip(lengths, steerings, strict=True)
    ]


@torch.inference_mode()
def _typical_norm(engine: Engine, layer: int) -> float:
    tokens = np.random.default_rng(1).integers(0, int(engine.config.vocab_size), 6).tolist()
    norm = float(residual_stream(engine, [tokens], layer)[0, 1:].float().norm(dim=-1).median())
    return norm if np.isfinite(norm) and norm > 0 else 1.0


@torch.inference_mode()
def _difference(engine: Engine, trials: Sequence[Trial]) -> str | None:
    """What differs between rows in one batch and each row alone; None where nothing does."""
    tolerance = TOLERANCE[engine.dtype]
    try:
        batched = _batched(engine, trials)
    except SEAM as error:
        return _said(error)
    for trial, (steps, reply) in zip(trials, batched, strict=True):
        for step, logits in enumerate(steps):
            tokens = [*trial.tokens, *reply[:step]]
            expected = _plain(engine, tokens, trial.edits, response_from=len(trial.tokens) - 1)[-1]
            apart = float((logits - expected).abs().max())
            scale = max(1.0, float(expected.abs().max()))
            if not apart <= tolerance * scale:
                what = "a steered" if trial.edits else "an unsteered"
                return f"logits of {what} row in a batch differ from the row's own by {apart / scale:.1e}"
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
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            hidden[:, start:] += vector
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

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
    return f"{type(error).__name__}: {first[:200]}"
