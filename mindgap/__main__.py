"""`python -m mindgap`: Hydra's entry point, wrapped so that a user's mistake is one short message.

Heavy imports happen after the configuration is valid; `--help` imports next to nothing.
"""

from __future__ import annotations

import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.core.compose import config_folder, with_names_quoted

if TYPE_CHECKING:
    from omegaconf import DictConfig


WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p")
"""Hydra's flags that the next argument belongs to."""


LONG_FLAGS = (
    *("--help", "--version", "--verbose", "--config-dir", "--config-name", "--config-path", "--cfg", "--package"),
    *("--multirun", "--run", "--resolve", "--info", "--hydra-help", "--shell-completion", "--experimental-rerun"),
)
"""Hydra's, and our own."""


def arranged(arguments: list[str]) -> list[str]:
    """Flags before overrides, each kind in its order: Hydra's parser gives up where they alternate."""
    flags: list[str] = []
    overrides: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument in WITH_VALUE:
            flags += [argument, next(waiting, "")]
        else:
            (flags if argument.startswith("-") else overrides).append(argument)
    return flags + overrides


def job(config: DictConfig) -> None:
    """One Hydra job."""
    import multiprocessing

    from mindgap.cli.stderr import complain
    from mindgap.storage.trouble import disk_trouble
    from mindgap.study.job import run_job

    try:
        run_job(config)
    except OSError as error:
        if multiprocessing.parent_process() is not None or (said := disk_trouble(error)) is None:
            raise
        complain(said)
        sys.exit(2)  # what sums a sweep up could not be written either


def main() -> None:
    """Run what the command line asks for.

    Exit codes: 0 done, 1 a cell failed, 2 cannot run, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    from mindgap.cli.signals import Stopped, stoppable

    try:
        with stoppable():
            from mindgap.cli.stderr import mask_tracebacks

            mask_tracebacks()
            _main()
    except KeyboardInterrupt as stop:
        print("\nmindgap: stopped. What is finished is kept: the same command goes on from here.", file=sys.stderr)
        sys.exit(stop.code if isinstance(stop, Stopped) else 130)


def _main() -> None:
    arguments = sys.argv[1:]
    if not sys.path or sys.path[0] not in ("", str(Path.cwd())):
        sys.path.insert(0, str(Path.cwd()))  # classes of the user's, for the console script as for `python -m`
    if (text := _told(arguments)) is not None:
        _print(text)
        return
    if "--verbose" in arguments:
        os.environ["MINDGAP_VERBOSE"] = "1"
        arguments = [argument for argument in arguments if argument != "--verbose"]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands exceptions on instead of printing them
    # In the environment, so that all jobs agree on it, wherever a launcher runs them. Microseconds: no two collide.
    os.environ["MINDGAP_SWEEP"] = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.argv[1:] = with_names_quoted(arranged(arguments), config_folder())
    from mindgap.cli.signals import give_way
    from mindgap.cli.stderr import complain
    from mindgap.core.explain import Composing, UserMistake, explain

    try:
        _composed_and_run()
    except BrokenPipeError:  # `| head` has what it wanted
        _print("")
        sys.exit(1)
    except Exception as error:
        give_way(error)
        if _summed_up(error):
            sys.exit(1)
        if isinstance(error, UserMistake) or (isinstance(error, Composing) and not _is_ours(error)):
            complain(explain(error, config_folder()))
            sys.exit(2)
        raise


def _told(arguments: list[str]) -> str | None:
    """What is only told and runs nothing: help, version, options; None where there is something to run."""
    from mindgap.cli.stderr import complain
    from mindgap.core.errors import ConfigError

    if any(argument in ("-h", "--help") for argument in arguments):
        from mindgap.cli.help import page

        return page(config_folder(), *map(Path, _config_dirs(arguments)))
    if any(argument in ("-V", "--version") for argument in arguments):
        from mindgap import __version__

        return f"mindgap {__version__}"
    try:
        if arguments[:1] == ["ls"]:
            from mindgap.cli.options import listing

            dirs = _config_dirs(arguments)
            words = [word for word in arguments[1:] if not word.startswith("-") and word not in dirs]
            return listing(words, [config_folder(), *map(Path, dirs)])
        _refuse_unknown_flags(arguments)
    except ConfigError as mistake:
        complain(mistake)
        sys.exit(2)
    return None


def _refuse_unknown_flags(arguments: list[str]) -> None:
    """Raise ConfigError, with a did-you-mean, for a long flag that neither Hydra nor mindgap has."""
    import difflib

    from mindgap.core.errors import ConfigError

    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag.startswith("--") and flag not in LONG_FLAGS:
            near = difflib.get_close_matches(flag, LONG_FLAGS, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise ConfigError(f"{flag}: there is no such flag. {hint}See python -m mindgap --help")


def _print(text: str) -> None:
    """Print, and take it as an end where nobody reads on (`| head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end


def _summed_up(error: Exception) -> bool:
    """Whether a sweep was under way, whose launcher raised `error`: what its jobs have left is summed up then."""
    if (sweep := sys.modules.get("mindgap.study.sweep")) is None:
        return False
    summed_up: bool = sweep.end_after(error)
    return summed_up


def _composed_and_run() -> None:
    """Run what `sys.argv` says; where Hydra cannot place a setting, again as `mindgap.study.grid` has it."""
    import hydra

    from mindgap.core.explain import Composing

    run = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(job)
    try:
        run()
    except Composing as error:
        if _is_ours(error) or (again := _refitted(sys.argv[1:])) == sys.argv[1:]:
            raise
        sys.argv[1:] = again
        run()


def _refitted(arguments: list[str]) -> list[str]:
    """The command line with its settings where they belong; those of options swept over are left to the jobs."""
    from mindgap.core.compose import composing
    from mindgap.core.explain import Composing
    from mindgap.study.grid import fitted, left_to_jobs

    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    if {"-m", "--multirun"} & set(arguments):
        left = dict(zip(overrides, left_to_jobs(overrides), strict=True))
        if (again := [left.get(argument, argument) for argument in arguments]) != arguments:
            return again
    search = [f"hydra.searchpath=[file://{Path(folder).resolve()}]" for folder in _config_dirs(arguments)]
    try:
        with composing(config_folder()):
            placed = dict(zip(overrides, fitted([*overrides, *search]), strict=False))
    except Composing:  # what is wrong is said already
        return arguments
    return [placed.get(argument, argument) for argument in arguments]


def _config_dirs(arguments: list[str]) -> list[str]:
    """What `--config-dir` names."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return [
        argument.partition("=")[2] or following
        for argument, following in pairs
        if argument.partition("=")[0] in ("--config-dir", "-cd")
    ]


def _is_ours(error: Exception) -> bool:
    """Whether mindgap had a part in it; else Hydra met it while it composed what it was given."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(module.startswith("mindgap.") and module != "mindgap.__main__" for module in modules)


if __name__ == "__main__":
    main()
