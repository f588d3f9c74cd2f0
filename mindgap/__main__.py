"""`python -m mindgap`: Hydra's entry point, wrapped so that a user's mistake is one short message.

Heavy imports happen after the configuration is valid; `--help` imports next to nothing.
"""

from __future__ import annotations

import os
import sys
import traceback
from datetime import datetime
from typing import TYPE_CHECKING

from mindgap.core.compose import config_folder

if TYPE_CHECKING:
    from omegaconf import DictConfig


WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p")
"""Hydra's flags that the next argument belongs to."""


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
    from mindgap.study.job import run_job

    run_job(config)


def main() -> None:
    """Run what the command line asks for. Exit codes: 0 done, 1 a cell failed, 2 cannot run, 130 interrupted."""
    arguments = sys.argv[1:]
    if any(argument in ("-h", "--help") for argument in arguments):
        from mindgap.cli.help import page

        print(page(config_folder()))
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands exceptions on instead of printing them
    # In the environment, so that all jobs agree on it, wherever a launcher runs them. Microseconds: no two collide.
    os.environ["MINDGAP_SWEEP"] = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.argv[1:] = arranged(arguments)
    import hydra

    from mindgap.core.explain import Composing, UserMistake, explain

    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(job)()
    except KeyboardInterrupt:
        print("\nmindgap: stopped. What is finished is kept: the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if _summed_up(error):
            sys.exit(1)
        if isinstance(error, UserMistake) or (isinstance(error, Composing) and not _is_ours(error)):
            print(f"mindgap: {explain(error, config_folder())}", file=sys.stderr)
            sys.exit(2)
        raise


def _summed_up(error: Exception) -> bool:
    """Whether a sweep was under way, whose launcher raised `error`: what its jobs have left is summed up then."""
    if (sweep := sys.modules.get("mindgap.study.sweep")) is None:
        return False
    summed_up: bool = sweep.end_after(error)
    return summed_up


def _is_ours(error: Exception) -> bool:
    """Whether mindgap had a part in it; else Hydra met it while it composed what it was given."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(module.startswith("mindgap.") and module != "mindgap.__main__" for module in modules)


if __name__ == "__main__":
    main()
