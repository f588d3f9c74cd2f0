"""`python -m mindgap.judge.calibrate OUT.json FILE=MAP … [doses=FOLDER …]`: fit the proxy judge to recorded scores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mindgap.cli.command import command
from mindgap.core.records import Score
from mindgap.text.embedding import Embedder

HELP = """\
mindgap.judge.calibrate: fit the proxy judge to recorded scores

usage: python -m mindgap.judge.calibrate OUT.json FILE=MAP [FILE=MAP ...] [doses=FOLDER ...]

  OUT.json     is written; use it with judge=proxy judge.calibration=OUT.json
  FILE=MAP     a recording with responses and scores, and its column map, as python -m mindgap.replay takes them
               (docs/replay.md)
  doses=FOLDER a sweep over doses, outputs/<sweep>: its scores are not used, since a reply at a clearly higher dose
               (by 0.4 or more) of the same method to the same question is not the more coherent one

Scores that are missing or outside 1 to 5 are left out; so are rows that repeat an earlier one. Where the embedding
model is installed, both variants are fitted, with embeddings and without; else only the one without.

example
  python -m mindgap.judge.calibrate mine.json responses.csv.gz=goodfire_2025_09_8b
  python -m mindgap.judge.calibrate mine.json responses.csv.gz=goodfire_2025_09_8b doses=outputs/doses"""

DOSES = "doses="
"""What an argument begins with that names a sweep over doses."""
FEWEST_RESPONSES = 200
"""Scored responses below which a fit of some hundred features means nothing."""


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 cannot be fitted, 130 interrupted."""
    return command(arguments, lambda words: _run(Path(words[0]), words[1:]), text=HELP)


def read_scored(recordings: list[str]) -> tuple[Any, ...]:
    """The scored responses of recordings.

    Args:
        recordings: Each given as FILE=MAP.

    Raises:
        ConfigError: A recording cannot be read, or there are too few responses.
    """
    from mindgap.core.compose import config_folder
    from mindgap.core.errors import ConfigError
    from mindgap.core.records import JudgeRequest
    from mindgap.judges.proxy_fit import ScoredResponse
    from mindgap.results.imports.maps import load_map
    from mindgap.results.imports.reading import read_recording
    from mindgap.results.imports.table import read_table
    from mindgap.tasks.queries import QuerySet

    if not recordings:
        raise ConfigError("give at least one recording as FILE=MAP; see python -m mindgap.judge.calibrate --help")
    scored = []
    for recording in recordings:
        file, separator, name = recording.rpartition("=")
        if not separator:
            raise ConfigError(f"{recording}: say which column is what: {recording}=MAP")
        column_map = load_map(name, config_folder() / "replay")
        samples = read_recording(read_table(Path(file)), column_map).samples
        rubrics = {
            text: QuerySet("recorded", [text]).queries[0].rubric for text in {sample.query for sample in samples}
        }
        for sample in samples:
            request = JudgeRequest(sample.query, rubrics[sample.query], sample.item.question, sample.response)
            if sample.response.strip():
                scores = _or_nan(sample.behaviour), _or_nan(sample.coherence)
                scored.append(ScoredResponse(Path(file).name, column_map.judge, sample.arm.name, request, *scores))
    if len(scored) < FEWEST_RESPONSES:
        raise ConfigError(
            f"{len(scored)} scored responses are too few to fit anything: {FEWEST_RESPONSES} are the least"
        )
    return tuple(scored)


def told_apart(sources: list[str]) -> tuple[list[str], list[str]]:
    """Recordings as FILE=MAP, and the folders of sweeps over doses."""
    sweeps = [source.removeprefix(DOSES) for source in sources if source.startswith(DOSES)]
    return [source for source in sources if not source.startswith(DOSES)], sweeps


def _or_nan(score: Score) -> float:
    return float("nan") if score.value is None else score.value


def _run(out: Path, sources: list[str]) -> None:
    from mindgap.judge.doses import read_dosed
    from mindgap.text.embedding import embedder, embedder_lacks

    recordings, sweeps = told_apart(sources)
    scored, dosed = read_scored(recordings), read_dosed(sweeps)
    lacks = embedder_lacks()
    for lack in lacks:
        sys.stderr.write(f"fitting without embeddings: {lack}\n")
    node = fitted(scored, None if lacks else embedder(), dosed)
    out.write_text(json.dumps(node) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(node["card"], indent=2) + f"\nwritten: {out}\n")


def fitted(scored: tuple[Any, ...], model: Embedder | None, dosed: tuple[Any, ...] = ()) -> dict[str, Any]:
    """What a calibration file holds, as plain JSON: its card, and one variant or two.

    Args:
        scored: The responses.
        model: Makes vectors of texts; None = only the variant without.
        dosed: Responses of sweeps over doses.
    """
    from mindgap.judges.proxy_doses import ordered_pairs
    from mindgap.judges.proxy_fit import PENALTY, Fitting
    from mindgap.judges.proxy_model import CALIBRATION_FORMAT, as_node

    fits = {"text": Fitting(scored, None, dosed), **({"embedding": Fitting(scored, model, dosed)} if model else {})}
    card = {
        "recordings": {
            source: {
                "responses": sum(response.source == source for response in scored),
                **{
                    f"{target}_scores": sum(
                        response.source == source and getattr(response, target) >= 1 for response in scored
                    )
                    for target in ("behaviour", "coherence")
                },
            }
            for source in dict.fromkeys(response.source for response in scored)
        },
        "scores_by": sorted({response.judge for response in scored}),
        "queries": sorted({response.request.query for response in scored}),
        "doses": {"responses": len(dosed), "pairs_in_order": len(ordered_pairs(dosed))},
        "embedding_model": model.identity if model else None,
        "penalty": PENALTY,
        "held_out_rank_correlation": {name: _agreement(fit) for name, fit in fits.items()},
    }
    variants = {name: as_node(fit.calibration()) for name, fit in fits.items()}
    return {"format": CALIBRATION_FORMAT, "card": card, "embedding": None, **variants}


def _agreement(fit: Any) -> dict[str, dict[str, float]]:
    """Spearman's correlation with the recorded scores, of queries that were left out and of questions that were."""
    from mindgap.judges.proxy_fit import family, question_folds
    from mindgap.stats.agreement import spearman

    folds = {
        "queries": [family(response.request.query) for response in fit.scored],
        "questions": question_folds(fit.scored),
    }
    return {
        target: {
            what: round(spearman(fit.held_out(target, groups), fit.scores(target)), 3) for what, groups in folds.items()
        }
        for target in ("behaviour", "coherence")
    }


if __name__ == "__main__":
    sys.exit(main())
