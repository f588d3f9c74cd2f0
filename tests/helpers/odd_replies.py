"""Replies of a server of chat completions that nobody should send and somebody does: a corpus, and mutations of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

GOOD = json.dumps({"analysis": "short", "behaviour": 4, "coherence": 5})
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 3.5, 1e308, 10**30, "", "text", "\ud800 half", "\x1b[2J\x00\x07", "\u202egnp.exe", [], [None],
    [[]], {}, {"a": 1}, [{"text": "part"}], [{"type": "image_url"}], [{"text": 5}], float("nan"), float("inf"),
    float("-inf"), "=1+1", "</script><script>", {"content": {"content": []}},
)  # fmt: skip


def completion(content: Any = GOOD, **choice: Any) -> dict[str, Any]:
    """A reply as it should be; `choice` replaces parts of its choice."""
    message = {"role": "assistant", "content": content, "refusal": None}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "some",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, "logprobs": None, **choice}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def tokens(logprob: Any = -0.1, top: Any = None) -> list[dict[str, Any]]:
    """Tokens of `GOOD`, a character each."""
    top = [{"token": "4", "logprob": logprob}] if top is None else top
    return [{"token": piece, "bytes": [ord(piece)], "logprob": logprob, "top_logprobs": top} for piece in GOOD]


def corpus() -> list[str]:
    """Bodies of replies, about 170 of them."""
    bodies: list[Any] = [*ODD]
    bodies += [{"choices": odd} for odd in ODD]
    bodies += [completion() | {"choices": [odd]} for odd in ODD]
    bodies += [completion(message=odd) for odd in ODD]
    bodies += [completion(odd) for odd in ODD]
    bodies += [completion() | {"usage": odd} for odd in ODD]
    bodies += [completion() | {"usage": {"prompt_tokens": odd, "completion_tokens": odd}} for odd in ODD]
    bodies += [completion(finish_reason=odd) for odd in ODD[:14]]
    bodies += [completion(logprobs=odd) for odd in ODD] + [completion(logprobs={"content": odd}) for odd in ODD]
    bodies += [completion(logprobs={"content": tokens(odd)}) for odd in ODD]
    bodies += [completion(logprobs={"content": tokens(top=odd)}) for odd in ODD]
    bodies += [completion(logprobs={"content": tokens(top=[{"token": odd, "logprob": -1.0}])}) for odd in ODD[:14]]
    bodies += [{"error": odd} for odd in ODD if odd]
    bodies += [{"error": {"message": "later", "code": 429}}, {"error": {"message": "no", "code": "x"}}]
    bodies += [completion(json.dumps({"behaviour": odd, "coherence": odd})) for odd in ODD]
    bodies += [completion("x" * 5_000_000), completion('{"a":' * 200_000), completion("{" * 1_000_000)]
    texts = [json.dumps(body) for body in bodies]
    number = "9" * 5000
    texts += [
        "",
        "<html>",
        "[" * 10_000 + "]" * 10_000,
        '{"choices":' * 10_000 + "1" + "}" * 10_000,
        number,
        json.dumps(completion()).replace("7", number),
        json.dumps(completion(GOOD.replace("4", number))),
        json.dumps(completion())[:-20],
        '\ufeff{"choices": []}',
        "data: {}\n\ndata: [DONE]\n\n",
    ]
    return texts


def mutated(seed: int, count: int) -> Iterator[str]:
    """`count` bodies, each with a few of its places changed to something odd; the same for the same seed."""
    draw = random.Random(seed)
    whole = [completion(), completion(logprobs={"content": tokens()[-20:]}), completion([{"text": GOOD}])]
    for _ in range(count):
        body = json.loads(json.dumps(draw.choice(whole)))
        for _ in range(draw.randint(1, 3)):
            _change(body, draw)
        text = json.dumps(body)
        if draw.random() < 0.1:
            cut = draw.randrange(len(text))
            text = (
                text[:cut] + draw.choice(["", "\x00", "}", '"', "\ufffd", "1e999"]) + text[cut + draw.randint(0, 5) :]
            )
        yield text


def _change(body: Any, draw: random.Random) -> None:
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            walk(value)

    walk(body)
    if not places:
        return
    node, key = draw.choice(places)
    if isinstance(node, dict) and draw.random() < 0.2:
        del node[key]
    else:
        node[key] = json.loads(json.dumps(draw.choice(ODD)))
