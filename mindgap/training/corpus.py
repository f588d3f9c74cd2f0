"""The text a sparse autoencoder is trained on: what the model itself writes when asked in many manners, and given text.

Everything is appended to files as it is made, so that a killed run goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.backends.base import Endpoint
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Decoding, Message, Request

PLAIN_SHARE = 0.25
"""Share of prompts without a manner: what the model says when nothing is asked of its style."""
BATCH = 1024


@dataclass(frozen=True)
class Text:
    """A conversation whose last message the model or somebody else wrote, or plain text (no messages)."""

    messages: tuple[Message, ...]
    text: str


def prompts(seed: int, count: int) -> list[tuple[Message, ...]]:
    """The first `count` prompts of a seed: manner, template and topic drawn independently."""
    import yaml

    parts = yaml.safe_load(files("mindgap").joinpath("data/sae_prompts.yaml").read_text(encoding="utf-8"))
    rng = np.random.default_rng(seed)
    made: list[tuple[Message, ...]] = []
    for _ in range(count):
        user = str(rng.choice(parts["templates"])).replace("{topic}", str(rng.choice(parts["topics"])))
        instruction = str(rng.choice(parts["instructions"])).replace("{manner}", str(rng.choice(parts["manners"])))
        asked = () if rng.random() < PLAIN_SHARE else (Message("system", instruction),)
        made.append((*asked, Message("user", user)))
    return made


def write_texts(
    endpoint: Endpoint, path: Path, *, count: int, max_tokens: int, seed: int, on_done: Callable[[int], None]
) -> list[Text]:
    """Have the model write until `path` (JSON lines) holds its replies to the first `count` prompts of `seed`.

    Sampled at temperature 0.8: greedy text has fewer contexts. Every line is kept under the content key of what was
    asked, so that what another model, seed or length has written into the same file is never taken for this one's.

    Args:
        endpoint: The model that writes.
        path: The file; it is added to.
        count: Replies wanted.
        max_tokens: Longest reply.
        seed: Of prompts and sampling.
        on_done: Told how many of the texts there are.

    Returns:
        The replies in the order of the prompts; those that failed or are blank are left out.
    """
    decoding = Decoding(max_tokens=max_tokens, temperature=0.8, top_p=0.95)
    requests = [
        Request(endpoint.identity, messages, decoding, int(content_key("text", n=number, s=seed)[:15], 16))
        for number, messages in enumerate(prompts(seed, count))
    ]
    wanted = {request.key for request in requests}
    _drop_unfinished_line(path)
    written = {line["key"]: line for line in _lines(path) if line.get("key") in wanted}
    on_done(len(written))
    missing = [request for request in requests if request.key not in written]
    with path.open("a", encoding="utf-8") as file:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            for place, completion in endpoint.generate(batch):
                request = batch[place]
                messages = [message.as_dict() for message in request.messages]
                line = {"key": request.key, "messages": messages, "text": completion.text, "error": completion.error}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
                written[request.key] = line
                on_done(len(written))
    lines = [written[request.key] for request in requests if request.key in written]
    return [_text(line) for line in lines if not line["error"] and line["text"].strip()]


def read_texts(path: Path) -> list[Text]:
    """Texts of a JSON-lines file (`{"text": …}`, with the messages before it if there are any), or of a text file.

    A text file's paragraphs, parted by blank lines, are one text each. Raises ConfigError for a file that is neither.
    """
    if path.suffix == ".txt":
        return [Text((), part.strip()) for part in path.read_text(encoding="utf-8").split("\n\n") if part.strip()]
    try:
        return [_text(line) for line in _lines(path) if not line.get("error") and line["text"].strip()]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f'{path}: every line must be like {{"text": "…"}} ({type(error).__name__}: {error})'
        ) from error


def _text(line: Mapping[str, Any]) -> Text:
    return Text(tuple(Message(**message) for message in line.get("messages", ())), line["text"])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except json.JSONDecodeError as error:
                        raise ConfigError(f"{path}, line {number}: this is not JSON ({error.msg})") from error


def _drop_unfinished_line(path: Path) -> None:
    """Cut off what a kill left of a line; its text is made again."""
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def split(texts: Sequence[Text], held_out: float) -> tuple[list[Text], list[Text]]:
    """Training texts and held-out ones. A text's side depends on its content alone, so both stay apart for ever."""
    train: list[Text] = []
    held: list[Text] = []
    for text in texts:
        share = int(content_key("held out", text=text.text)[:8], 16) / 16**8
        (held if share < held_out else train).append(text)
    return train, held
