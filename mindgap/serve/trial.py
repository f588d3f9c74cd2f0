"""Whether servers that have started steer."""

from __future__ import annotations

from mindgap.backends.local.load import Described
from mindgap.backends.vllm.connect import look
from mindgap.backends.vllm.servers import Server, Servers
from mindgap.core.errors import UnavailableError
from mindgap.providers.http import Trouble
from mindgap.providers.loop import run_each
from mindgap.serve.settings import Settings

TIMEOUT = 300.0
"""Seconds that an answer to a trial may take: the first one may have to wait for a compilation."""


def tried(settings: Settings, described: Described) -> str:
    """Try all servers.

    Returns:
        The name that they serve the model by.

    Raises:
        UnavailableError: One does not steer as it should.
    """
    servers = [Server(url) for url in settings.urls]
    room = Servers(servers, 1, TIMEOUT, 0, settings.api_key_env or None)

    async def name_of(server: Server) -> str:
        try:
            return (await look(room, server, described))[0]
        except (Trouble, UnavailableError) as error:
            raise UnavailableError(f"{server.url}: {error}") from error

    return dict(run_each(name_of, servers, len(servers)))[0]
