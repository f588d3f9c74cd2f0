"""What goes wrong with a request, as the status and the words that a client gets."""

from __future__ import annotations


class RequestError(Exception):
    """status: of the HTTP answer. The message is for the client; retry_after: seconds after which to ask again."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
