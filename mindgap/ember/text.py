"""From tokens to text as they come: whole characters only, and nothing from a stop string on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNFINISHED = "\ufffd"
"""What a tokenizer makes of bytes that are no character yet."""


class ReplyText:
    """The text of one reply, token by token. `stopped` turns true when a stop string has come up.

    `text` is what was given out so far; a beginning of a stop string is held back until it is clear what it becomes.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        self._tokens: list[int] = []
        self._shown, self._read = 0, 0  # before `_shown`: of no more use; before `_read`: in the text already
        self._held = ""
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """What can be given out now that this token has come; often empty."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._shown : self._read])
        now = self._decode(self._tokens[self._shown :])
        if len(now) <= len(before) or now.endswith(UNFINISHED):
            return ""
        self._shown, self._read = self._read, len(self._tokens)
        return self._give_out(now[len(before) :])

    def finish(self) -> str:
        """What is left when no token follows: the same text in all as from decoding the reply at once."""
        if self.stopped:
            return ""
        whole = self._decode(self._tokens)
        rest = whole[len(self.text) :] if whole.startswith(self.text) else self._held
        self._held = ""
        left = self._give_out(rest) + self._held * (not self.stopped)
        self.text += self._held * (not self.stopped)
        return left

    def _give_out(self, new: str) -> str:
        pending = self._held + new
        stops_at = [at for stop in self._stops if (at := pending.find(stop)) >= 0]
        if stops_at:
            self.stopped, self._held = True, ""
            pending = pending[: min(stops_at)]
        else:
            kept = max((_overlap(pending, stop) for stop in self._stops), default=0)
            self._held = pending[len(pending) - kept :]
            pending = pending[: len(pending) - kept]
        self.text += pending
        return pending

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` could begin `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
