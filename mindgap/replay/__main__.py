"""`python -m mindgap.replay FILE FOLDER map=NAME`: import results recorded elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mindgap.cli.command import command

HELP = """\
mindgap.replay: import results recorded elsewhere into a sweep folder, and say first what is wrong with them

usage: python -m mindgap.replay FILE FOLDER map=NAME [setting=value ...]

  FILE                     the recording: .csv, .tsv, .jsonl, .json (each also .gz, .bz2, .xz, .zst), .parquet,
                           Inspect's .eval, or a folder of these
  FOLDER                   where to, for example outputs/their-run; several recordings may go into one

settings
  map=NAME                 column map: {maps};
                           or a YAML file of your own (docs/replay.md; goodfire_… explain every key)
  map.KEY=VALUE            change a key of the map, for example map.columns.query=behaviour
  map.scale=[0,100]        worst and best score, if they are not on 1 to 5: converted
  map.constants.KEY=VALUE  what all rows have in common, for example map.constants.method=control
  map.mmlu=PATH            folder or hub name of MMLU: looks up subjects and gold answers by the questions' text
  judge=NAME judge.KEY=…   score all responses anew, by any judge of `python -m mindgap --help`; else scores stay
  store=FILE               where its judgements are kept; default: store.sqlite beside FOLDER
  seed=0 resamples=10000   of the intervals

example
  python -m mindgap.replay responses.csv.gz outputs/their-run map=goodfire_2025_09_8b
  python -m mindgap.report outputs/their-run"""

SETTINGS = ("map", "judge", "store", "seed", "resamples")


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 cannot be imported, 130 interrupted."""
    from mindgap.core.compose import config_folder

    conf = config_folder()
    return command(
        arguments,
        lambda words: _run(words, conf),
        text=HELP.replace("{maps}", ", ".join(sorted(path.stem for path in (conf / "replay").glob("*.yaml")))),
        stopped="stopped. What is judged is kept: the same command goes on from here.",
    )


def _run(arguments: list[str], conf: Path) -> None:
    from mindgap.cli.console import console_for
    from mindgap.core.errors import ConfigError, did_you_mean
    from mindgap.results.imports.maps import load_map

    paths = [argument for argument in arguments if "=" not in argument]
    settings = [argument.partition("=")[::2] for argument in arguments if "=" in argument]
    for key, _ in settings:
        if key.partition(".")[0] not in SETTINGS:
            hint = did_you_mean(key.partition(".")[0], SETTINGS)
            raise ConfigError(f"{key}: there is no such setting. {hint}")
    plain = dict(settings)
    if len(paths) != 2:
        raise ConfigError(
            f"give a file and a folder, not {' '.join(paths) or 'nothing'}; see python -m mindgap.replay --help"
        )
    if "map" not in plain:
        raise ConfigError("map=NAME is missing: say which column is what; see python -m mindgap.replay --help")
    column_map = load_map(plain["map"], conf / "replay", [f"{k[4:]}={v}" for k, v in settings if k.startswith("map.")])
    seed, resamples = _number(plain, "seed", 0, 0), _number(plain, "resamples", 10_000, 100)

    from mindgap.judges.named import judge_from
    from mindgap.replay.importing import import_recording
    from mindgap.results.sweep import read_sweep
    from mindgap.study.terminal import print_summary

    of_judge = [f"{key}={value}" for key, value in settings if key.partition(".")[0] == "judge"]
    os.environ.setdefault("MINDGAP_SWEEP", "replay")
    judge = judge_from(of_judge, conf) if of_judge else None
    console = console_for()
    file, folder = map(Path, paths)
    store = Path(plain["store"]) if "store" in plain else None
    import_recording(
        file, column_map, folder, judge=judge, store=store, seed=seed, resamples=resamples, console=console
    )
    print_summary(console, read_sweep(folder))
    console.print(f"{'findings':9}{folder / 'import.json'}", markup=False, soft_wrap=True)


def _number(settings: dict[str, str], key: str, default: int, least: int) -> int:
    from mindgap.core.errors import ConfigError

    text = settings.get(key, str(default))
    if not text.isdecimal() or len(text) > 18 or int(text) < least:  # more digits than any counter has
        raise ConfigError(f"{key}={text}: must be a whole number of at least {least}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
