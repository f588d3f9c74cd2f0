"""Records and their table give the same samples, with the project's measures."""

from __future__ import annotations

from dataclasses import fields

from simulated import CONTROL, cell
from sweeps import MEASURES, measured_again

from mindgap.analysis.samples import samples_of
from mindgap.core.records import Record
from mindgap.results.samples import samples_table
from mindgap.stats.compare import difference


def record(method: str, item: str, **changed) -> Record:
    empty = dict.fromkeys((one.name for one in fields(Record)), None)
    usual = {
        "key": f"{method} {item}",
        "model": "tiny",
        "method": method,
        "strength": "none",
        "query": "be funny",
        "item": item,
        "epoch": 0,
        "subject": "",
        "response": "r",
        "gold": "A",
        "answer": "A",
        "correct": True,
        "option_logprobs": (-1.0, -2.0),
        "loglik_correct": True,
        "judge": "proxy",
        "behaviour": 3.0,
        "coherence": 4.0,
        "edits": (),
        "measures": {},
    }
    return measured_again([Record(**(empty | usual | changed))])[0]


def test_records_and_their_table_give_the_metrics_of_the_project():
    records = [
        record("control", "i1"),
        record("control", "i2"),
        record("prompt", "i1", answer=None, correct=False, unparsed="no letter"),
        record("prompt", "i2", behaviour=None, behaviour_missing="judge said 7"),
    ]
    for data in (records, samples_table(records, MEASURES)):
        samples = samples_of(data)
        prompt = cell("prompt")
        assert samples.estimate(prompt, "accuracy").value == 0.5
        assert samples.estimate(prompt, "accuracy_answered").value == 1
        assert samples.estimate(prompt, "accuracy_answered").missing == 0
        assert samples.estimate(prompt, "answered").value == 0.5
        assert samples.estimate(prompt, "behaviour").missing == 1
        found = difference(samples, prompt, CONTROL, "accuracy_answered")
        assert (found.estimate.n, found.estimate.missing) == (1, 0)
