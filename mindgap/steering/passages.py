"""Passages that show a behaviour: what the model writes when it is asked for the behaviour, and for nothing else.

A small model that is asked a question *and* told how to answer it mostly answers the question. Asked for the behaviour
alone it shows it ten times as clearly (docs/autosteer.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.backends.fetch import completions
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Request
from mindgap.steering.bench import SteeringBench, Text

ASKED = (
    "{Query}.",
    "Write a few sentences. You must {query}.",
    "Write a short text in which you {query}. Begin at once.",
)
"""What is asked, in turn; `{Query}` begins with a capital."""
UNASKED = "Write a few sentences."
"""What a passage is taken to answer when it is read: nothing of the behaviour."""
SEEDS = 100
"""Passages of a behaviour at most: each seed of an experiment has so many seeds of its own."""
DECODING = Decoding(max_tokens=48, temperature=0.8, top_p=0.95)


def passages(
    behaviours: Sequence[str], count: int, bench: SteeringBench, writer: SteeringBench
) -> list[tuple[Text, ...]]:
    """For each behaviour `count` passages, as answers to `UNASKED`; empty ones are left out.

    All are written in one batch. What is drawn for a behaviour does not depend on the others.

    Args:
        behaviours: Worded as something to do ("be funny").
        count: How many for each.
        bench: Its seed fixes what is drawn.
        writer: On which they are written: `bench`, or that of a larger model.
    """
    requests = [
        [
            Request(
                writer.endpoint.identity,
                (Message("user", asked(behaviour, number)),),
                DECODING,
                SEEDS * (bench.seed + 1) + number,
            )
            for number in range(count)
        ]
        for behaviour in behaviours
    ]
    replies = completions([request for row in requests for request in row], writer.endpoint, writer.store)
    written: list[tuple[Text, ...]] = []
    for row in requests:
        texts = [replies[request.key].text.strip() for request in row]
        written.append(tuple(((Message("user", UNASKED),), text) for text in texts if text))
    return written


def asked(behaviour: str, number: int) -> str:
    """What the model is asked for passage `number`."""
    template = ASKED[number % len(ASKED)]
    return template.replace("{Query}", behaviour[:1].upper() + behaviour[1:]).replace("{query}", behaviour)


def hosted_writer(bench: SteeringBench, name: str, provider: LiteLLMBackend) -> SteeringBench:
    """A bench on which the litellm model `name` writes, with the store and seed of `bench`."""
    endpoint = provider.open(ModelSpec(name, litellm_id=name))
    return SteeringBench(endpoint, bench.store, bench.seed)  # type: ignore[arg-type]  # only generates
