"""The server's fixtures, for the tests of this folder."""

from __future__ import annotations

from ember_server import loop, serve, served, server, start  # noqa: F401
