"""What the store promises, also when the process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindgap.core.errors import UnavailableError
from mindgap.core.records import Completion, Judgement, OptionScores, Score
from mindgap.storage.store import Store

COMPLETION = Completion("héllo\n", "stop", 5, 2)
JUDGEMENT = Judgement(Score(4.5), Score(None, "the judge's reply was empty"), "words", 0.001)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "store.sqlite")
    store.put_completion("a", COMPLETION)
    store.put_option_scores("b", OptionScores((-1.5, -2.0), (3, 4)))
    store.put_judgement("c", JUDGEMENT)
    store.put_array("d", np.arange(6, dtype=np.float32).reshape(2, 3))
    store.close()

    again = Store(tmp_path / "deep" / "store.sqlite")
    assert again.completions(["a", "x"]) == {"a": COMPLETION}
    assert again.option_scores(["b"]) == {"b": OptionScores((-1.5, -2.0), (3, 4))}
    assert again.judgements(["c"]) == {"c": JUDGEMENT}
    array = again.array("d")
    assert array is not None
    np.testing.assert_array_equal(array, [[0, 1, 2], [3, 4, 5]])
    assert again.array("x") is None
    assert again.completions(["b"]) == {}  # another kind of record under that key


def test_thousands_of_keys_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    keys = [f"key{number}" for number in range(2_000)]
    for key in keys[::2]:
        store.put_completion(key, COMPLETION)
    assert set(store.completions(keys)) == set(keys[::2])


WRITER = """
import sys
from pathlib import Path
from mindgap.core.records import Completion
from mindgap.storage.store import Store
store = Store(Path(sys.argv[1]))
for number in range(10**6):
    store.put_completion(f"{sys.argv[2]}-{number}", Completion("text" * 50, "stop"))
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    Store(path).close()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        for _ in range(200):
            writer.stdout.readline()
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    acknowledged = []
    for name, writer in zip("ab", writers, strict=True):
        assert writer.stdout is not None
        last = 199 + len([line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")])
        acknowledged += [f"{name}-{number}" for number in range(last + 1)]
        writer.wait()
    assert len(Store(path).completions(acknowledged)) == len(acknowledged)


def test_a_damaged_store_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(UnavailableError, match="move it away"):
        Store(path)
