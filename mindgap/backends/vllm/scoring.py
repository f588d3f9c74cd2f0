"""Log-likelihoods of options from a server: exact, whether an option is a letter or a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mindgap.backends.vllm.servers import Servers
from mindgap.core.edits import Edit
from mindgap.providers.http import Trouble

if TYPE_CHECKING:
    from mindgap.backends.local.scoring import EncodedOptions

Steered = Callable[[Sequence[Edit], Sequence[int]], Mapping[str, Any]]
"""The part of a request that steers, of edits and a prompt."""


async def likelihoods(servers: Servers, steered: Steered, text: EncodedOptions) -> list[float] | str:
    """Log-likelihood in nats of each option, or why there is none.

    Options of one token are read from one request, which finds the prompt in the server's prefix cache. Each longer one
    is a request of its own with the option behind the prompt, which the server reads anew: it keeps no likelihoods.
    """
    try:
        steering = steered(text.edits, text.prompt)
        single = sorted({option[0] for option in text.options if len(option) == 1})
        of_token = await _of_tokens(servers, text.prompt, single, steering) if single else {}
        totals = []
        for option in text.options:
            if len(option) == 1:
                totals.append(of_token[option[0]])
            else:
                totals.append(await _of_text(servers, text.prompt, option, steering) if option else 0.0)
    except (Trouble, ValueError) as trouble:
        return str(trouble)
    except (KeyError, IndexError, TypeError) as odd:
        return f"the server's log-likelihoods are not what vLLM 0.32 sends ({type(odd).__name__}: {odd})"
    return totals


async def _of_tokens(
    servers: Servers, prompt: Sequence[int], tokens: Sequence[int], steering: Mapping[str, Any]
) -> dict[int, float]:
    """Log-likelihood of each of `tokens` as the next one."""
    body = {
        "prompt": list(prompt),
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 1,
        "logprob_token_ids": list(tokens),
        "return_tokens_as_token_ids": True,
        **steering,
    }
    choice = await servers.complete(body)
    top = choice["logprobs"]["top_logprobs"][0]
    return {token: float(top[f"token_id:{token}"]) for token in tokens}


async def _of_text(
    servers: Servers, prompt: Sequence[int], option: Sequence[int], steering: Mapping[str, Any]
) -> float:
    """Summed log-likelihood of the tokens of `option` behind `prompt`."""
    body = {
        "prompt": [*prompt, *option],
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,  # of the tokens that are there, and no others
        **steering,
    }
    choice = await servers.complete(body)
    told = choice["prompt_logprobs"][len(prompt) :]
    return math.fsum(float(here[str(token)]["logprob"]) for token, here in zip(option, told, strict=True))
