"""The plugin's version: part of vLLM's compile-cache key, of every reply's header and of every content key."""

VERSION = "0.1.1"
"""Raise it when a change alters what a steered request answers, or how requests are written."""
