"""Counts for Prometheus, in its text format (version 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mindgap.ember.worker import Worker


class Metrics:
    """Requests are counted in the event loop, everything else is read from the worker.

    Args:
        paths: Those that are counted each; all others are counted together, so that nobody can fill the memory with
            them.
    """

    def __init__(self, worker: Worker, paths: frozenset[str]) -> None:
        self._worker, self._paths = worker, paths
        self._requests: Counter[tuple[str, int]] = Counter()

    def answered(self, path: str, status: int) -> None:
        """Count a request."""
        self._requests[path if path in self._paths else "other", status] += 1

    def render(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        worker, counts = self._worker, self._worker.counts
        yield from _about("ember_requests_total", "counter", "HTTP requests by path and status.")
        for (path, status), count in sorted(self._requests.items()):
            yield f'ember_requests_total{{path="{path}",status="{status}"}} {count}'
        for name, kind, value, words in (
            ("ember_rows_active", "gauge", worker.active, "Replies in the batch."),
            ("ember_rows_waiting", "gauge", worker.waiting, "Replies that wait for a place in the batch."),
            ("ember_tasks_waiting", "gauge", worker.tasks, "Other work that the model has to do."),
            ("ember_decode_steps_total", "counter", counts.steps, "Decode steps."),
            ("ember_generated_tokens_total", "counter", counts.tokens, "Tokens generated."),
            ("ember_prompt_tokens_total", "counter", counts.prompt_tokens, "Prompt tokens read."),
            ("ember_replies_total", "counter", counts.replies, "Replies generated to their end."),
            ("ember_replies_cancelled_total", "counter", counts.cancelled, "Replies whose client went away."),
            ("ember_replies_failed_total", "counter", counts.failed, "Replies that the model failed at."),
        ):
            yield from _about(name, kind, words)
            yield f"{name} {value}"
        name = "ember_first_token_seconds"
        yield from _about(name, "histogram", "From a reply's arrival to its first token.")
        for bound, count in counts.first_token_buckets.items():
            yield f'{name}_bucket{{le="{bound}"}} {count}'
        yield f'{name}_bucket{{le="+Inf"}} {counts.first_tokens}'
        yield f"{name}_sum {counts.first_token_seconds:.6f}"
        yield f"{name}_count {counts.first_tokens}"


def _about(name: str, kind: str, words: str) -> tuple[str, str]:
    return f"# HELP {name} {words}", f"# TYPE {name} {kind}"
