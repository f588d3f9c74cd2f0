"""`python -m mindgap.ember`: serve a model under Goodfire's API, and OpenAI's, on this machine."""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mindgap.cli.stderr import complain
from mindgap.core.errors import ConfigError, MindgapError, UnavailableError
from mindgap.ember.settings import Settings, read

if TYPE_CHECKING:
    from mindgap.ember.service import Service

HELP = """\
mindgap.ember: serve a model with its SAE features under the API of Goodfire's SDK, and OpenAI's

usage: python -m mindgap.ember [setting=value ...] [--config-dir DIR]

settings
  model=tiny               any model that backend=local can run; model.KEY=VALUE and backend.KEY=VALUE too
  aliases.8b=meta-llama/Meta-Llama-3.1-8B-Instruct     names that the model answers under beside its own: by default
  aliases.70b=meta-llama/Llama-3.3-70B-Instruct        the two that the SDK knows; aliases.70b= takes one away
  host=127.0.0.1           where to listen; anything that other machines can reach needs api_key_env
  port=8080                0 takes a free one
  api_key_env=NAME         environment variable with the key that clients have to send; by default none is asked for
  queue=256                requests that may wait for the model; more are answered with 429
  max_body=4194304         bytes of a request
  max_messages=256         messages in a conversation
  max_tokens=4096          tokens in a reply
  drain=300                seconds that running replies get when the server is stopped
  method=autosteer         whose Auto Steer answers AutoSteer(...)
  seed=0                   of Auto Steer, as in python -m mindgap
  store=outputs/store.sqlite     where what Auto Steer generates is kept

To use it:
  python -m mindgap.ember model=tiny
  python -c 'import goodfire; client = goodfire.Client("any", base_url="http://127.0.0.1:8080"); ...'
  openai.OpenAI(api_key="any", base_url="http://127.0.0.1:8080/v1")

docs/ember.md says more. Ctrl-C or SIGTERM lets running replies end."""

ALIAS = "aliases."
GROUPS = ("model", "backend", "method")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 stopped, 2 cannot be done as asked."""
    settings = sys.argv[1:] if arguments is None else list(arguments)
    if any(argument in ("-h", "--help") for argument in settings):
        sys.stdout.write(HELP + "\n")
        return 0
    try:
        _serve(settings)
    except MindgapError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nmindgap: stopped.\n")
    return 0


def _serve(arguments: Sequence[str]) -> None:
    settings, config = _configured(arguments)
    if missing := [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise UnavailableError(f"mindgap.ember lacks {' and '.join(missing)}: pip install 'mindgap[ember]'")
    listening = _listen(settings)
    with listening:
        service = _opened(settings, config)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        sys.stderr.write(
            f"mindgap.ember: {service.endpoint.identity} answers as {', '.join(service.names)}\n"
            f"mindgap.ember: listening on http://{shown}:{port} "
            f"({'with' if settings.api_key else 'without'} a key). Ctrl-C stops it\n"
        )
        sys.stderr.flush()
        _run(service, settings, listening)


def _configured(arguments: Sequence[str]) -> tuple[Settings, dict[str, Any]]:
    """Settings, and the composed configuration. Raises ConfigError, with a did-you-mean."""
    from mindgap.cli.arguments import split_arguments

    def is_alias(argument: str) -> bool:
        return argument.startswith(ALIAS) and "=" in argument

    own = {field.name for field in fields(Settings)} - {"aliases"}
    aliases = dict(argument.split("=", 1) for argument in arguments if is_alias(argument))
    others = [argument for argument in arguments if not is_alias(argument)]
    if not any(argument.startswith("method=") for argument in others):
        others.append("method=autosteer")
    words, plain, config = split_arguments(others, sorted(own), "ember", GROUPS)
    if words:
        raise ConfigError(f"{words[0]}: settings are written as name=value; see python -m mindgap.ember --help")
    return read({**plain, **aliases}), config


def _opened(settings: Settings, config: dict[str, Any]) -> Service:
    from mindgap.backends.local import LocalBackend
    from mindgap.core.build import build
    from mindgap.ember.service import Service
    from mindgap.steering.autosteer import AutoSteer

    model, backend = build(config["model"], "model"), build(config["backend"], "backend")
    if not isinstance(backend, LocalBackend):
        raise ConfigError(f"backend={backend.name}: mindgap.ember serves models that backend=local runs")
    needs = frozenset({"features"}) if model.sae is not None else frozenset()
    if lacks := backend.lacks(model, needs):  # type: ignore[arg-type]
        raise UnavailableError(f"model={model.name} cannot be served: it lacks {'; '.join(lacks)}")
    interventions = build(config["method"], "method").interventions
    chosen = [intervention for intervention in interventions if isinstance(intervention, AutoSteer)]
    if not chosen:
        raise ConfigError("method: mindgap.ember needs one with Auto Steer among its interventions")
    endpoint = backend.open(model)
    if model.sae is not None:
        _ = endpoint.scales  # the catalogue is read now, so that one that is missing is said now
    return Service.open(settings, endpoint, chosen[0])


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(f"host={settings.host} port={settings.port}: {error.strerror or error}") from error


def _run(service: Service, settings: Settings, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; then no more connections are taken, and what runs is finished."""
    import uvicorn

    from mindgap.ember.app import application

    config = uvicorn.Config(
        application(service),
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=settings.drain,
        timeout_keep_alive=30,
        ws="none",
    )
    # uvicorn raises the signal again when it is done; by then there is nothing left to stop.
    previous = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == "__main__":
    sys.exit(main())
