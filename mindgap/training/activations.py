"""Residual streams of many texts, kept in one memory-mapped file: what a sparse autoencoder is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import residual_stream
from mindgap.core.keys import content_key
from mindgap.storage.atomic import replacing
from mindgap.training.corpus import Text

LONGEST = 256
"""Tokens of a text that are read; the rest is left out."""
TOKENS_PER_PASS = 4096


def token_ids(engine: Engine, text: Text) -> list[int]:
    """The text as the model sees it: after its conversation's prompt, or by itself."""
    if not text.messages:
        return engine.chat.encode(text.text)[:LONGEST]
    prompt, (reply,) = engine.chat.with_replies(text.messages, [text.text])
    return (prompt + reply)[:LONGEST]


def batches(engine: Engine, sequences: Sequence[list[int]]) -> Iterator[list[int]]:
    """Indices of sequences that go through the model together: alike in length, and the same every time."""
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]), reverse=True)
    while order:
        width = len(sequences[order[0]])
        rows = max(1, TOKENS_PER_PASS // width) if width <= engine.shared_context else 1
        yield order[:rows]
        del order[:rows]


@torch.inference_mode()
def harvest(
    engine: Engine, texts: Sequence[Text], layer: int, path: Path, on_done: Callable[[int], None], *, model: str
) -> np.ndarray:
    """Residual streams `[tokens, d_model]`, float16, of all tokens of `texts` but each text's first, at block `layer`.

    A text's first token is left out: every later one attends to it, and its norm is a hundred times theirs (Xiao et
    al. 2023 call it an attention sink). Memory-mapped from `path`; a killed harvest goes on from the last whole pass.

    Args:
        engine: Reads.
        texts: What is read.
        layer: Block whose output is kept.
        path: The file of streams; beside it lie notes of how far it is, as JSON.
        on_done: Told how many tokens are there.
        model: Identity of the model: streams of another one are not gone on with.
    """
    sequences = [ids for ids in (token_ids(engine, text) for text in texts) if len(ids) > 1]
    total = sum(len(ids) - 1 for ids in sequences)
    what = content_key("harvest", model=model, ids=sequences, layer=layer, d_model=engine.d_model)
    notes = path.with_suffix(".json")
    done = passes = 0
    if notes.exists() and path.exists():
        known = json.loads(notes.read_text(encoding="utf-8"))
        if known["what"] == what:
            done, passes = known["tokens"], known["passes"]
    shape = (total, engine.d_model)
    if done == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        notes.unlink(missing_ok=True)  # a kill before the first pass would else leave those of another array
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape).flush()
    kept = np.lib.format.open_memmap(path, mode="r+")
    on_done(done)
    for number, rows in enumerate(batches(engine, sequences)):
        if number < passes:
            continue
        group = [sequences[row] for row in rows]
        stream = residual_stream(engine, group, layer).half().cpu().numpy()
        for place, ids in enumerate(group):
            kept[done : done + len(ids) - 1] = stream[place, 1 : len(ids)]
            done += len(ids) - 1
        kept.flush()
        with replacing(notes) as temporary:
            temporary.write_text(json.dumps({"what": what, "tokens": done, "passes": number + 1}), encoding="utf-8")
        on_done(done)
    return np.load(path, mmap_mode="r")
