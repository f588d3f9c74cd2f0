"""The small recordings that these tests read."""

from __future__ import annotations

from small_recording import clean, mapped, written  # noqa: F401
