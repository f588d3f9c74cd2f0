"""Steering per request in a vLLM server; see README.md. vLLM calls `register` in each of its processes."""

from __future__ import annotations

import os

from mindgap_vllm.version import VERSION

__version__ = VERSION
ARMED = "MINDGAP_VLLM"
"""Environment variable that arms the plugin when it is 1: installed and not armed it changes nothing."""


def register() -> None:
    """Have this process of vLLM steer, if the environment asks for it. May be called several times."""
    if os.environ.get(ARMED) != "1":
        return
    from mindgap_vllm.attach import attach

    attach()
