"""Opening a model on servers: which model each serves, whether it steers when asked to, and only then."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from mindgap.backends.local.architecture import size_of
from mindgap.backends.local.load import Described, describe
from mindgap.backends.vllm import VllmBackend
from mindgap.backends.vllm.endpoint import VllmEndpoint
from mindgap.backends.vllm.programs import program_of
from mindgap.backends.vllm.served import parts_of
from mindgap.backends.vllm.servers import MARK, Server, Servers, place
from mindgap.core.edits import AddVector
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.providers.http import Trouble
from mindgap.providers.loop import run_each

log = logging.getLogger(__name__)

PROBE_TOKENS = 160
"""Tokens of the prompt that a server is tried with: more than a block of its prefix cache, which keeps whole blocks."""
LEAST_CHANGE = 0.05
"""Nats by which a probe's edit has to change the log-likelihood of the next token: it is large."""


def connect(backend: VllmBackend, model: ModelSpec) -> VllmEndpoint:
    """The model on all servers that answer, serve it and steer; says which do not.

    Raises:
        UnavailableError: None does; or they serve different things.
    """
    described = describe(model)
    servers = [Server(url) for url in backend.addresses]
    room = Servers(servers, backend.concurrency, backend.timeout, backend.max_retries, backend.key_env)

    async def looked(server: Server) -> tuple[str, int] | Exception:
        try:
            return await look(room, server, described)
        except (Trouble, UnavailableError) as error:
            return error

    found = dict(run_each(looked, servers, len(servers)))
    good = [index for index, outcome in sorted(found.items()) if isinstance(outcome, tuple)]
    troubles = [f"{place(servers[index].url)}: {found[index]}" for index in sorted(found) if index not in good]
    if not good:
        raise UnavailableError(
            f"backend=vllm: no server answers for model={model.name} ({'; '.join(troubles)}). Start one: "
            f"python -m mindgap.serve model={model.name}"
        )
    for trouble in troubles:
        log.warning("%s; going on without it", trouble)
    told = [outcome for index in good if isinstance(outcome := found[index], tuple)]
    names = sorted({name for name, _ in told})
    if len(names) > 1:
        raise UnavailableError(
            f"backend.urls: the servers serve different things ({' and '.join(names)}), and a study is of one"
        )
    plugin = parts_of(names[0])[2]
    ready = Servers(
        [servers[index] for index in good],
        backend.concurrency,
        backend.timeout,
        backend.max_retries,
        backend.key_env,
        model=names[0],
        signature=f"{MARK}{plugin}",
    )
    return VllmEndpoint(backend, model, described, ready, context=min(context for _, context in told))


async def look(room: Servers, server: Server, described: Described) -> tuple[str, int]:
    """The name that a server serves the model by, and its longest text. Raises Trouble or UnavailableError."""
    models = await room.models(server)
    names = [str(each.get("id")) for each in models]
    name = next((name for name in names if f"/{MARK.rstrip('/')}-" in name), names[0] if names else "")
    weights, _, plugin = parts_of(name)
    if weights != described.identity:
        raise UnavailableError(f"it serves {weights}, and the model here is {described.identity}")
    context = next(int(each.get("max_model_len") or 0) for each in models if str(each.get("id")) == name)
    alone = Servers([server], 1, room.timeout, 0, room.key_env, model=name, signature=f"{MARK}{plugin}")
    if (server.url, name) not in _tried(os.getpid()):
        await probe(alone, server, described)
        _tried(os.getpid()).add((server.url, name))
    return name, context


@cache
def _tried(pid: int) -> set[tuple[str, str]]:
    """Servers, each with the name of what it serves, that this process has seen steer: all cells share them."""
    return set()


async def probe(servers: Servers, server: Server, described: Described) -> None:
    """See that an edit changes what the model says, and that nothing is left of it afterwards.

    Raises:
        Trouble: The server does not answer.
        UnavailableError: It does not steer, or also where it should not.
    """
    width, layers = size_of(described.config, "hidden_size"), size_of(described.config, "num_hidden_layers")
    vocabulary = size_of(described.config, "vocab_size")
    tokens = [int(token) for token in np.random.default_rng(0).integers(0, vocabulary, PROBE_TOKENS)]
    direction = np.random.default_rng(1).standard_normal(width).astype(np.float32)
    edits = [AddVector(layers // 2, 1000 * direction / np.float32(np.linalg.norm(direction)))]
    program = program_of(edits, start=len(tokens) - 1, sae=None)
    # of a cache that nothing else reads; then steered, and then unsteered, which must not find what that one left there
    before = await _likelihood(servers, server, tokens, None, salt=uuid.uuid4().hex)
    steered = await _likelihood(servers, server, tokens, program)
    after = await _likelihood(servers, server, tokens, None)
    change, noise = abs(steered - before), abs(after - before)
    if not change > max(LEAST_CHANGE, 4 * noise):
        raise UnavailableError(
            f"it does not steer: a large vector changes a log-likelihood by {change:.3g} nats, and the same request "
            f"again by {noise:.3g}. Start it with python -m mindgap.serve, which arms the plugin"
        )
    if noise > LEAST_CHANGE:
        raise UnavailableError(
            f"it steers also where it should not: an unsteered request differs by {noise:.3g} nats after a steered one"
        )


async def _likelihood(
    servers: Servers, server: Server, tokens: Sequence[int], program: str | None, salt: str | None = None
) -> float:
    """Log-likelihood in nats of the last of `tokens`, as the one continuation of the others.

    Args:
        servers: How it is asked.
        server: Which one.
        tokens: At least two.
        program: What is done inside the model.
        salt: Of the prefix cache; None = that of all requests.
    """
    body: dict[str, Any] = {
        "prompt": list(tokens[:-1]),
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 1,
        "logprob_token_ids": [tokens[-1]],
        "return_tokens_as_token_ids": True,
        **({"cache_salt": salt} if salt else {}),
    }
    if program is not None:
        body["vllm_xargs"] = {"mindgap": program}
    choice = await asyncio.wait_for(servers.ask(server, body), servers.timeout)
    try:
        value = float(choice["logprobs"]["top_logprobs"][0][f"token_id:{tokens[-1]}"])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise Trouble("its log-likelihoods are not where this client looks for them: is it vLLM 0.32?") from error
    if not math.isfinite(value):
        raise UnavailableError("its log-likelihoods are not finite numbers: the model's logits are broken")
    return value
