"""Serves sweeps' pages to one person on this machine, guarded as `mindgap.cli.loopback` says; only reads."""

from __future__ import annotations

import json
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from mindgap.cli.loopback import GuardedHandler, LoopbackServer, page_of, policy_of
from mindgap.core.errors import MindgapError
from mindgap.view.sweeps import Sweeps

HERE = Path(__file__).resolve().parent
HTML = "text/html; charset=utf-8"
REPORT_POLICY = "frame-ancestors 'self'"
"""Beside the policy that a report carries itself, which allows its own scripts and nothing from elsewhere."""


class ViewServer(LoopbackServer):
    """Serves `/<token>/` (the list of sweeps, or the one), and of each sweep its state and its report.

    Args:
        sweeps: What is shown.
        port: 0 takes a free one.

    Raises:
        ConfigError: The port cannot be had.
    """

    def __init__(self, sweeps: Sweeps, port: int = 0) -> None:
        self.sweeps = sweeps
        super().__init__(_Handler, port)

    @cached_property
    def page(self) -> bytes:
        """The frame around list and reports, with its style and script inside."""
        return page_of(HERE)

    @cached_property
    def policy(self) -> str:
        """What the frame may do: run its own script and style, ask this server, show its reports, and nothing else."""
        return policy_of(HERE, "frame-src 'self'")

    def list(self) -> bytes:
        """Every sweep and how far it is."""
        states = [self.sweeps.state(name).fields() for name in self.sweeps.folders]
        return json.dumps({"only": self.sweeps.only, "sweeps": states}).encode()


class _Handler(GuardedHandler):
    server: ViewServer

    def do_GET(self) -> None:
        if not self.allowed():
            return
        what, _, name = self.path.partition("?")[0].split("/", 2)[2].partition("/")
        policy = self.server.policy
        try:
            if what == "":
                self.reply(HTTPStatus.OK, HTML, self.server.page, policy)
            elif what == "sweeps":
                self.reply(HTTPStatus.OK, "application/json", self.server.list(), policy)
            elif what == "report":
                self.reply(HTTPStatus.OK, HTML, self.server.sweeps.page(unquote(name)), REPORT_POLICY)
            else:
                self.refuse(HTTPStatus.NOT_FOUND, "nothing here")
        except KeyError:
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such sweep")
        except MindgapError as error:
            self.refuse(HTTPStatus.NOT_FOUND, str(error))
