"""`python -m mindgap.serve`: start vLLM servers of a model, wait until they steer, and keep them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.cli.command import command
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.serve.settings import PYTHON_VARIABLE, Settings, read

if TYPE_CHECKING:
    from mindgap.backends.local.load import Described

HELP = f"""\
mindgap.serve: start vLLM servers that steer, for backend=vllm

usage: python -m mindgap.serve [setting=value ...] [--config-dir DIR]

settings
  model=tiny               any model that backend=local can run from safetensors; model.KEY=VALUE too
  python=PATH              the Python that has vllm and mindgap's plugin; by default {PYTHON_VARIABLE} names it
  gpus=0                   GPUs in all; 0 = on the CPU. A replica spreads over gpus/replicas of them (tensor parallel)
  replicas=1               servers, on port, port+1, ...
  host=127.0.0.1           where to listen; anything that other machines can reach needs api_key_env
  port=8000
  dtype=auto               bfloat16 on GPUs, float32 on a CPU; it is part of what results are kept by
  sequences=256            most requests that a server works on at once
  length=0                 longest text in tokens; 0 = as long as the model can read
  memory=0.9               share of a GPU's memory that a server takes
  api_key_env=NAME         environment variable with the key that clients have to send; by default none is asked for
  eager=auto               true = no compilation and no graphs; auto = on a CPU alone, where compiling takes minutes
  wait=1800                seconds that servers get to start
  options='--FLAG VALUE'   further flags for vLLM
  logs=outputs/serve       folder for what they write
  show=false               true = print the commands, start nothing

room a request has for steering; more than that is answered with status 400
  sums=16                  vectors that are added as they are, one for every block and stretch of tokens
  vectors=16               vectors that pins, ablations, conditional and fading edits read and write
  reads=8 changes=8        of those edits, at one block
  comparisons=4            of one condition
  change_layers=all        blocks at which those edits may act, for example 19,20: fewer cost less time

Then, here or on another machine that reaches it:
  python -m mindgap backend=vllm backend.urls=[http://127.0.0.1:8000] model=tiny method=control,vector -m

docs/scale.md says how to install vLLM beside mindgap, and what was measured. Ctrl-C or SIGTERM ends the servers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 stopped, 1 all servers have ended, 2 cannot be done as asked."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return command(given, _serve, text=HELP, stopped="stopped.")


def _serve(arguments: list[str]) -> int:
    from mindgap.backends.local.load import describe
    from mindgap.backends.vllm.served import served_name
    from mindgap.cli.arguments import model_of, split_arguments

    names = [field.name for field in fields(Settings)]
    words, plain, config = split_arguments(arguments, names, "serve", ("model",))
    if words:
        raise ConfigError(f"{words[0]}: settings are written as name=value; see python -m mindgap.serve --help")
    settings, model = read(plain), model_of(config)
    described = describe(model)
    version = _plugin_version(settings.interpreter)
    name = served_name(described.identity, settings.numeric_type, version)
    commands = [
        settings.command(replica, folder=described.name, name=name, version=version)
        + (["--revision", described.revision] if described.revision else [])
        + (["--trust-remote-code"] if model.trust_remote_code else [])
        for replica in range(settings.replicas)
    ]
    if settings.show:
        for replica, words in enumerate(commands):
            secret = {"VLLM_API_KEY": f"${settings.api_key_env}"} if settings.api_key_env else {}
            added = {**settings.environment(replica), **secret}
            assigned = " ".join(f"{key}={value}" for key, value in added.items())
            sys.stdout.write(f"{assigned} {shlex.join(words)}\n")
        return 0
    return _run(settings, commands, described)


def _run(settings: Settings, commands: Sequence[Sequence[str]], described: Described) -> int:
    from mindgap.serve import fleet
    from mindgap.serve.trial import tried

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    started: list[fleet.Started] = []
    try:
        for replica, (url, words) in enumerate(zip(settings.urls, commands, strict=True)):
            log = Path(settings.logs) / f"{settings.port + replica}.log"
            started.append(fleet.start(url, words, {**os.environ, **settings.environment(replica)}, log))
            process = started[-1].process.pid
            sys.stderr.write(f"mindgap.serve: starting {url} (process {process}), which writes to {log}\n")
        fleet.wait_for(started, settings.wait)
        name = tried(settings, described)
        listed = ",".join(settings.urls)
        sys.stderr.write(
            f"mindgap.serve: {name}: steers, and leaves others alone\n"
            f"as a judge: judge=open 'judge.model=openai/{name}' judge.api_base={settings.urls[0]}/v1\n"
        )
        sys.stdout.write(f"backend=vllm 'backend.urls=[{listed}]'\n")
        sys.stdout.flush()
        fleet.watch(started)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
        fleet.end(started)


def _plugin_version(python: str) -> str:
    """The plugin's version in vLLM's environment.

    Raises:
        UnavailableError: It cannot be run, or has no plugin.
    """
    question = "import importlib.metadata as m; print(m.version('mindgap-vllm'))"
    try:
        asked = subprocess.run([python, "-c", question], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"python={python} cannot be run: {error}") from error
    if asked.returncode:
        raise UnavailableError(
            f"{python} has no mindgap-vllm: {python} -m pip install ./vllm_plugin, from mindgap's repository"
        )
    return asked.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
