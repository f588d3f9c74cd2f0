"""Accuracy within bins of coherence."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeps import KINDS, make_cell

from mindgap.analysis.binned import binned


def test_bins_hold_what_lies_in_them(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, KINDS[4], items=12)
    by_name = {measure.name: measure for measure in cell.measures}
    bins = binned(cell.records, by_name["coherence"], by_name["accuracy"], resamples=200)
    known = [record for record in cell.records if record.coherence is not None]
    assert (
        len(bins) > 2 and sum(each.accuracy.n for each in bins) >= len(known) - 4
    )  # a bin of fewer than 5 has no mean
    middle = next(each for each in bins if each.low == 3)
    inside = [bool(record.correct) for record in known if 3 <= (record.coherence or 0) < 4]
    assert middle.accuracy.value == pytest.approx(sum(inside) / len(inside), abs=1e-9)
    last = bins[-1]
    assert last.high == 5 and last.accuracy.n == sum((record.coherence or 0) >= 4 for record in known)
