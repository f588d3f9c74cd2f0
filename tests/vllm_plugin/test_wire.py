"""Programs as any client may send them: what cannot be run is refused in words, before a worker sees it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mindgap_vllm.fields import ProgramError
from mindgap_vllm.wire import Limits, read_program, salt_of, text_of

LIMITS = Limits(width=4, layers=3, sums=3, vectors=2, reads=2, changes=2, comparisons=1)
VECTORS = np.arange(12, dtype="<f4").reshape(3, 4)


def program(**change: Any) -> dict[str, Any]:
    whole = {
        "version": 1,
        "width": 4,
        "dtype": "float32",
        "vectors": base64.b64encode(VECTORS.tobytes()).decode(),
        "start": 5,
        "layers": {
            "1": {
                "add": [[0, None, 0], [5, None, 1]],
                "read": [[0, 0.5, 0.0]],
                "change": [{"kind": "feature", "from": 0, "to": 9, "read": 0, "write": 1, "gain": -1, "offset": 2}],
            }
        },
    }
    return {**whole, **change}


def layer(**change: Any) -> dict[str, Any]:
    return {"layers": {"1": change}}


def feature(**change: Any) -> dict[str, Any]:
    return {"kind": "feature", "from": 0, "to": None, "read": 0, "write": 1, "gain": -1, "offset": 2, **change}


def test_a_program_is_read_as_it_was_written() -> None:
    read = read_program(json.dumps(program()), LIMITS)
    here = read.layers[1]
    assert read.start == 5 and here.starts == (0, 5)
    np.testing.assert_array_equal(here.sums[0], VECTORS[0])
    np.testing.assert_array_equal(here.sums[1], VECTORS[0] + VECTORS[1])
    assert (here.changes[0].first, here.changes[0].last, here.changes[0].gain) == (0, 9, -1.0)


def test_bfloat16_vectors_are_the_upper_halves_of_float32() -> None:
    halves = (VECTORS.view("<u4") >> 16).astype("<u2")
    sent = program(dtype="bfloat16", vectors=base64.b64encode(halves.tobytes()).decode())
    np.testing.assert_array_equal(read_program(json.dumps(sent), LIMITS).vectors, VECTORS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: [], "JSON object"),
        (lambda p: program(version=2), "version 2"),
        (lambda p: program(width=5), "width 5"),
        (lambda p: program(dtype="int8"), "dtype"),
        (lambda p: program(vectors="?"), "base64"),
        (lambda p: program(vectors=base64.b64encode(b"12345").decode()), "multiple of width"),
        (lambda p: program(vectors=base64.b64encode(np.full(4, np.nan, "<f4").tobytes()).decode()), "not finite"),
        (lambda p: program(start=-1), "start must be"),
        (lambda p: program(layers={"3": {}}), "block '3'"),
        (lambda p: program(**layer(add=[[0, None, 3]])), "index below 3"),
        (lambda p: program(**layer(add=[[5, 2, 0]])), "holds no token"),
        (lambda p: program(**layer(add=[[0, 1, 0], [3, 4, 0], [6, 7, 0], [9, 9, 0]])), "takes 4 sums"),
        (lambda p: program(**layer(read=[[0, 0, 0]] * 3)), "room for 2"),
        (lambda p: program(**layer(read=[[0, 0, 0]], change=[feature(kind="magic")])), "magic"),
        (lambda p: program(**layer(read=[[0, 0, 0]], change=[feature(gain="much")])), "gain must be a finite number"),
        (lambda p: program(**layer(read=[[0, 0, 0]], change=[feature(fading=-1)])), "fades by"),
        (lambda p: program(**layer(read=[[0, 0, 0]], change=[feature()] * 3)), "3 changes"),
        (lambda p: program(**layer(change=[feature()])), "read must be an index below 0"),
        (
            lambda p: program(
                **layer(read=[[0, 0, 0]], change=[feature(when={"needed": 2, "compare": [[0, 1, True, True, False]]})])
            ),
            "needs 2 of 1",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(change: Callable[[dict[str, Any]], Any], said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        read_program(json.dumps(change(program())), LIMITS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["version", "width", "dtype", "vectors", "start", "layers", "add", "read", "change"]), JSON)
def test_no_client_makes_a_reader_raise_anything_else(name: str, value: Any) -> None:
    sent = program(**layer(**{name: value})) if name in ("add", "read", "change") else program(**{name: value})
    with contextlib.suppress(ProgramError):
        read_program(json.dumps(sent), LIMITS)


def test_the_programs_text_is_what_the_cache_is_salted_with() -> None:
    assert text_of({"mindgap": "a"}) == "a" and text_of({}) is None and text_of(None) is None
    assert salt_of("a") != salt_of("b")
    with pytest.raises(ProgramError, match="must be text"):
        text_of({"mindgap": 3})
