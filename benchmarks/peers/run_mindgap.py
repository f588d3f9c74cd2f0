"""mindgap's local engine: all requests at once, rows under any steering in one batch."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from shared import Reply, Work, read, report_replies, report_scores

from mindgap.backends.local import LocalBackend, LocalEndpoint
from mindgap.core.edits import AddVector
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, OptionsRequest, Request


def edits_of(work: Work, vector: int | None) -> tuple[AddVector, ...]:
    return () if vector is None else (AddVector(work.layer, work.vectors[vector]),)


def replies(endpoint: LocalEndpoint, work: Work) -> list[Reply]:
    decoding = Decoding(max_tokens=work.max_tokens, temperature=0)
    asked = [
        Request(
            endpoint.identity,
            tuple(Message(role, content) for role, content in request["messages"]),
            decoding,
            seed=0,
            edits=edits_of(work, request["vector"]),
        )
        for request in work.requests
    ]
    found = dict(endpoint.generate(asked))
    return [(found[index].text, found[index].completion_tokens or 0) for index in range(len(asked))]


def scores(endpoint: LocalEndpoint, work: Work) -> list[list[float]]:
    asked = [
        OptionsRequest(
            endpoint.identity,
            (Message("user", request["prompt"]),),
            tuple(request["options"]),
            edits=edits_of(work, request["vector"]),
            as_text=True,
        )
        for request in work.options
    ]
    found = dict(endpoint.loglikelihood(asked))
    return [list(found[index].logprobs) for index in range(len(asked))]


def main() -> None:
    work = read()
    endpoint = LocalBackend(dtype="float32", max_rows=work.rows).open(ModelSpec(name="tiny", embedded=True))
    first = replace(work, requests=work.requests[:1], options=work.options[:1], max_tokens=2)
    if Path(sys.argv[2]).name.startswith("options"):
        scores(endpoint, first)
        report_scores(lambda: scores(endpoint, work))
    else:
        replies(endpoint, first)
        report_replies(lambda: replies(endpoint, work))


if __name__ == "__main__":
    main()
