"""The scripted chat server, for the tests of this folder."""

from __future__ import annotations

from chat_server import chat_server  # noqa: F401
