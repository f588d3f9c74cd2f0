"""What each feature of an SAE responds to: one pass of the model over texts, up to the SAE's block.

Tokens × features does not fit in memory, so everything is a running sum or a list of the strongest few per feature. A
text's first token is left out, as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import torch

from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import residual_stream
from mindgap.sae.catalogue import STEPS, Catalogue, build
from mindgap.sae.sae import SAE
from mindgap.sae.scale import Histogram
from mindgap.training.activations import batches, token_ids
from mindgap.training.corpus import Text

CONTEXTS = 8
"""Contexts that are kept of a feature."""
COLLECTED = 2 * CONTEXTS
"""Contexts that are collected of it; equal ones are kept once."""
SAME = 1e-4
"""Peaks that differ by no more than this share come from equal beginnings, a system prompt say: one is collected."""
BEFORE, AFTER = 15, 8
"""Tokens of a context before and after its strongest one."""
PROMOTED, DEMOTED = 10, 5
FIRST = 5
"""Contexts are the same if the strongest token and so many before it are."""
SPACE = "\u2581"
LEAST_LIFT, LEAST_Z, LEAST_REPLIES, MANNERS = 1.5, 4.0, 8, 3
"""A manner is worth telling from this lift on, and this many standard errors, on so many replies; at most so many
of a feature."""


@torch.inference_mode()
def survey(engine: Engine, sae: SAE, texts: Sequence[Text], on_done: Callable[[int], None]) -> Catalogue:
    """Catalogue of the features of `sae`, without labels. `on_done` is told how many tokens are read."""
    known = [(text, ids) for text, ids in ((text, token_ids(engine, text)) for text in texts) if len(ids) > 1]
    sequences = [ids for _, ids in known]
    asked = _manners(text for text, _ in known)
    names = sorted({name for name in asked if name})
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    sums = _Sums(sae.features, len(names))
    moved = _on(sae, engine.device)
    for rows in batches(engine, sequences):
        stream = residual_stream(engine, [sequences[row] for row in rows], sae.layer)
        for place, row in enumerate(rows):
            text, ids = known[row]
            activations = moved.encode(stream[place, 1 : len(ids)].float())
            start = len(engine.chat.prompt(text.messages, without_thought=True)) - 1 if text.messages else None
            manner = numbers.get(asked[row])
            sums.add(row, activations, start, manner)
        on_done(sums.tokens)
    promoted, demoted, promotion = _promoted(engine, moved, sorted({token for ids in sequences for token in ids}))
    pieces = _Pieces(engine.tokenizer)
    scale, density = sums.scales(), sums.active.cpu().numpy() / max(sums.tokens, 1)
    rows_of_table = [
        {
            "density": float(density[feature]),
            "scale": float(scale[feature]),
            "promoted": [pieces[token] for token in promoted[feature]],
            "demoted": [pieces[token] for token in demoted[feature]],
            "promotion": float(promotion[feature]),
            "contexts": sums.contexts(feature, sequences, pieces),
            "manners": manners,
        }
        for feature, manners in enumerate(sums.manners(names))
    ]
    return build(rows_of_table, sae=sae.identity, texts=len(known), tokens=sums.tokens)


class _Sums:
    """All that is kept while texts go by. Sizes depend on the number of features, not on the texts."""

    def __init__(self, features: int, manners: int) -> None:
        self.tokens = 0
        self.active = torch.zeros(features, dtype=torch.int64)
        self._histogram = Histogram(features)
        self._peak = np.zeros((features, COLLECTED), dtype=np.float32)
        self._text = np.full((features, COLLECTED), -1, dtype=np.int32)
        self._at = np.zeros((features, COLLECTED), dtype=np.int16)
        self._window = np.zeros((features, COLLECTED, BEFORE + 1 + AFTER), dtype=np.float16)
        # Mean activation of each reply: count, sum and sum of squares by manner; the last row is for all replies.
        self._replies = np.zeros(manners + 1, dtype=np.int64)
        self._sum = np.zeros((manners + 1, features))
        self._squares = np.zeros((manners + 1, features))

    def add(self, row: int, activations: torch.Tensor, start: int | None, manner: int | None) -> None:
        """Take in text `row`: activations `[tokens, features]` of all its tokens but the first.

        Args:
            start: Where its reply begins in them; None where there is none.
            manner: Under which the reply was written.
        """
        self.tokens += len(activations)
        token, feature = activations.nonzero(as_tuple=True)
        self.active += torch.bincount(feature, minlength=activations.shape[1]).cpu()
        self._histogram.add(feature.cpu().numpy(), activations[token, feature].cpu().numpy())
        peaks, places = activations.max(0)
        self._collect(row, activations, peaks.cpu().numpy(), places.cpu().numpy())
        if start is not None and start < len(activations):
            mean = activations[start:].mean(0).cpu().numpy().astype(np.float64)
            for group in {manner, len(self._replies) - 1} - {None}:
                self._replies[group] += 1
                self._sum[group] += mean
                self._squares[group] += mean**2

    def _collect(self, row: int, activations: torch.Tensor, peaks: np.ndarray, places: np.ndarray) -> None:
        again = np.isclose(self._peak, peaks[:, None], rtol=SAME, atol=0).any(1)
        better = np.flatnonzero((peaks > self._peak[:, -1]) & ~again)
        columns = activations[:, torch.from_numpy(better).to(activations.device)].cpu().numpy()
        padded = np.pad(columns, ((BEFORE, AFTER), (0, 0)))
        reach = places[better][:, None] + np.arange(BEFORE + 1 + AFTER)
        self._peak[better, -1], self._text[better, -1], self._at[better, -1] = peaks[better], row, places[better]
        self._window[better, -1] = padded[reach, np.arange(len(better))[:, None]] / peaks[better][:, None]
        order = np.argsort(-self._peak[better], axis=1, kind="stable")
        for kept in (self._peak, self._text, self._at, self._window):
            kept[better] = kept[better[:, None], order]

    def scales(self) -> np.ndarray:
        return self._histogram.scales(self._peak[:, 0])

    def contexts(self, feature: int, sequences: Sequence[list[int]], pieces: _Pieces) -> list[dict[str, Any]]:
        """The strongest contexts of a feature, equal ones once, as rows of the catalogue."""
        contexts: dict[tuple[int, ...], dict[str, Any]] = {}
        for place in range(COLLECTED):
            text = self._text[feature, place]
            if text < 0 or len(contexts) == CONTEXTS:
                break
            ids, at = sequences[text], int(self._at[feature, place]) + 1  # the first token has no activation
            first, last = max(1, at - BEFORE), min(len(ids), at + AFTER + 1)
            shares = self._window[feature, place, first - at + BEFORE : last - at + BEFORE]
            context = {
                "pieces": [pieces[token] for token in ids[first:last]],
                "at": at - first,
                "activation": float(self._peak[feature, place]),
                "activations": np.rint(shares * STEPS).astype(np.uint8),
            }
            contexts.setdefault(tuple(ids[max(0, at - FIRST) : at + 1]), context)
        return list(contexts.values())

    def manners(self, names: Sequence[str]) -> list[list[dict[str, Any]]]:
        """For each feature the manners under which it is clearly more active than in all other replies."""
        by_feature: list[list[dict[str, Any]]] = [[] for _ in range(len(self.active))]
        for number, name in enumerate(names):
            lift, z = self._lift(number)
            for feature in np.flatnonzero((lift >= LEAST_LIFT) & (z >= LEAST_Z)):
                by_feature[feature].append({"manner": name, "lift": float(lift[feature]), "z": float(z[feature])})
        return [sorted(manners, key=lambda manner: -manner["z"])[:MANNERS] for manners in by_feature]

    def _lift(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Lift, at most 99, and z of every feature for one manner.

        The variance among its replies is taken to be that among the others at least: a few replies may be alike.
        """
        count, rest = self._replies[number], self._replies[-1] - self._replies[number]
        if min(count, rest) < LEAST_REPLIES:
            return np.zeros(self._sum.shape[1]), np.zeros(self._sum.shape[1])
        mean, other = self._sum[number] / count, (self._sum[-1] - self._sum[number]) / rest
        other_variance = (self._squares[-1] - self._squares[number]) / rest - other**2
        variance = np.maximum(self._squares[number] / count - mean**2, other_variance)
        spread = variance / (count - 1) + other_variance / (rest - 1)
        active = mean > 0
        lift = np.where(active, np.minimum(mean / np.maximum(other, mean / 99 + 1e-30), 99), 0)
        return lift, np.where(active, (mean - other) / np.sqrt(np.maximum(spread, 1e-30)), 0)


class _Pieces(dict[int, str]):
    """A token's text with the space before it, by its id. (Decoding alone loses the space that SentencePiece marks.)"""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> str:
        raw = self._tokenizer.convert_ids_to_tokens(int(token))
        text: str = raw.replace(SPACE, " ") if SPACE in raw else self._tokenizer.decode([int(token)])
        self[token] = text
        return text


def _manners(texts: Any) -> list[str | None]:
    """The manner, of those that `sae_prompts.yaml` names, which each text's system prompt asks for."""
    import yaml

    parts = yaml.safe_load(files("mindgap").joinpath("data/sae_prompts.yaml").read_text(encoding="utf-8"))
    longest_first = sorted(parts["manners"], key=len, reverse=True)
    manners = []
    for text in texts:
        system = text.messages[0].content if text.messages and text.messages[0].role == "system" else ""
        manners.append(next((manner for manner in longest_first if manner in system), None))
    return manners


def _promoted(engine: Engine, sae: SAE, tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of `tokens` each direction raises and lowers most, `[features, …]`, strongest first, and how clearly.

    The direction goes through the unembedding without the final norm, whose factor no single direction has. Directions
    are centred: what all of them do to a token says nothing about one. Only tokens of the texts: among all of them
    the first places go to fragments that the model has hardly seen. How clearly: z score of the first, `[features]`.
    """
    known = torch.tensor(sorted(set(tokens) - set(engine.tokenizer.all_special_ids)), device=engine.device)
    weight = engine.model.get_output_embeddings().weight[known].float()  # type: ignore[operator]
    directions = torch.nn.functional.normalize(sae.decoder.float(), dim=-1)
    directions = directions - directions.mean(0)
    up, down, clear = [], [], []
    for part in torch.split(directions, 256):
        logits = part @ weight.T
        first = logits.topk(min(PROMOTED, len(known)))
        up.append(known[first.indices].cpu())
        down.append(known[(-logits).topk(min(DEMOTED, len(known))).indices].cpu())
        clear.append(((first.values[:, 0] - logits.mean(1)) / logits.std(1).clamp(min=1e-9)).cpu())
    return torch.cat(up).numpy(), torch.cat(down).numpy(), torch.cat(clear).numpy()


def _on(sae: SAE, device: torch.device) -> SAE:
    names = ("encoder", "encoder_bias", "decoder", "decoder_bias", "threshold")
    kept = {name: getattr(sae, name) for name in names}
    return replace(sae, **{name: tensor.to(device) for name, tensor in kept.items() if tensor is not None})
