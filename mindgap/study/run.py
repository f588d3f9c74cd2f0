"""Run one cell: plan, steer, generate, score, judge, measure. The paper's method section, in order."""

from __future__ import annotations

from dataclasses import replace

from mindgap.core.records import OptionsRequest, Record
from mindgap.measures.base import measured
from mindgap.storage.store import Store
from mindgap.study.answers import answer, plan_cell
from mindgap.study.experiment import Experiment
from mindgap.study.observe import record, reply_to, scores
from mindgap.study.progress import Progress


def run_cell(experiment: Experiment, store: Store, progress: Progress) -> list[Record]:
    """All samples of one cell, in the order of the plan. Whatever the store knows is not made again."""
    cell = plan_cell(experiment, store, progress)
    answers = answer([cell], store, progress)
    records = []
    for sample in cell.samples:
        records.append(
            record(
                experiment,
                sample,
                reply_to(sample, answers.replies),
                answers.options[sample.options.key] if sample.options else None,
                answers.judgement(cell, sample),
                answers.perplexities.get(sample.key),
                [answers.options[trial.key] for trial in sample.trials if isinstance(trial, OptionsRequest)],
            )
        )
    with progress.stage("measuring"):
        own = [scores(experiment, sample, answers.replies, answers.options) for sample in cell.samples]
        return [
            replace(record, measures={**record.measures, **scored}) if scored else record
            for record, scored in zip(measured(records, list(experiment.measures.values())), own, strict=True)
        ]
