"""`python -m mindgap.view outputs/<sweep>`: a sweep's page while it runs, in a browser on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mindgap.cli.command import command

HELP = """\
mindgap.view: a sweep's page while the sweep runs, and the list of sweeps

usage: python -m mindgap.view outputs/<sweep> [port=0]    one sweep; its page is made anew with every cell that ends
       python -m mindgap.view outputs [port=0]            all sweeps of a folder, the newest first

  port=0    of the page, on 127.0.0.1; 0 takes a free one

Prints the address to open; nobody who does not know it is let in, and no other machine is. Only reads: the files of a
sweep stay as they are. On a machine that you reach by SSH: ssh -L 8123:127.0.0.1:8123 HOST, and port=8123."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 ended by Ctrl-C, 2 nothing to show or a wrong setting."""
    return command(arguments, _serve, text=HELP)


def _serve(words: Sequence[str]) -> None:
    from mindgap.core.errors import ConfigError
    from mindgap.view.server import ViewServer
    from mindgap.view.sweeps import Sweeps

    folders = [word for word in words if "=" not in word]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if unknown := [name for name in settings if name != "port"]:
        raise ConfigError(f"{unknown[0]}: there is no such setting; there is port")
    port = settings.get("port", "0")
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"port={port}: must be a whole number from 0 to 65535")
    if len(folders) != 1:
        raise ConfigError(f"give one folder, a sweep's or that of all sweeps, not {' '.join(folders) or 'none'}")
    with ViewServer(Sweeps(Path(folders[0])), int(port)) as server:
        sys.stdout.write(f"Open this address in a browser on this machine; Ctrl+C ends it:\n{server.address}\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")


if __name__ == "__main__":
    sys.exit(main())
