"""The plugin's tables and points, without vLLM: each token is steered as the local engine steers it.

Many requests share a pass, prompts are cut into chunks, requests come and go: what a token gets is its own program's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mindgap.backends.vllm.programs import program_of
from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import AddVector, Comparison, Condition, Edit, FeatureEdit

torch = pytest.importorskip("torch")

from mindgap_vllm.board import Batch, Board  # noqa: E402
from mindgap_vllm.fields import ProgramError  # noqa: E402
from mindgap_vllm.point import changed, changed_as_one  # noqa: E402
from mindgap_vllm.wire import Limits, read_program  # noqa: E402
from torch import nn  # noqa: E402

from mindgap.backends.local.direction_edits import DirectionTable  # noqa: E402
from mindgap.backends.local.feature_edits import FeatureTable  # noqa: E402
from mindgap.backends.local.steering import Steering, build_tables, is_constant  # noqa: E402
from mindgap.sae.sae import SAE  # noqa: E402

WIDTH, LAYERS, CPU = 32, 4, torch.device("cpu")
LIMITS = Limits(WIDTH, LAYERS)
LENGTH, START = 14, 8
"""Tokens of every text, and the index of its last prompt token."""


def make_sae() -> SAE:
    random = torch.Generator().manual_seed(1)
    encoder, decoder = torch.randn(2, 6, WIDTH, generator=random)
    bias, threshold = 0.3 * torch.randn(2, 6, generator=random)
    centre = 0.2 * torch.randn(WIDTH, generator=random)
    return SAE("s", 2, "jumprelu", encoder, bias, decoder, centre, threshold=threshold.abs(), input_scale=0.3)


SAE_ = make_sae()


def feature(number: int, **change: object) -> FeatureEdit:
    return FeatureEdit("s", 2, number, 2.0, SAE_.directions([number]).numpy()[0], **change)  # type: ignore[arg-type]


def kinds() -> list[tuple[Edit, ...]]:
    u, v, w, second = np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, 4)))[0].T.astype(np.float32)
    silent = Condition((Comparison(1, ">", 0.2, 2.0), Comparison(3, "<=", 0.1, 2.0)), "and")
    either = Condition((Comparison(1, ">", 0.2, 2.0), Comparison(4, "==", 0.0, 2.0)), "or")
    return [
        (),
        (AddVector(1, 3 * u),),
        (AddVector(1, 3 * u, "response"), AddVector(1, v), AddVector(3, w, "response")),
        (DirectionEdit(1, 3 * u, "add_constant_norm"),),
        (DirectionEdit(1, 2 * u, "add_constant_norm", positions="response", half_life=3.0),),
        tuple(DirectionEdit(layer, v, "ablate") for layer in range(LAYERS)),
        (DirectionEdit(1, v, "ablate", share=0.5),),
        (DirectionEdit(2, v, "clamp", low=1.0, high=1.0),),
        (DirectionEdit(2, 7 * v, "clamp", low=-0.2),),
        (DirectionEdit(2, v, "clamp", high=0.1, positions="prompt"),),
        (DirectionEdit(1, w, "rotate", second=second, degrees=30.0),),
        (DirectionEdit(1, w, "rotate", second=second, degrees=200.0, share=0.4, positions="from:4"),),
        (DirectionEdit(1, u, "rank_one", second=0.3 * w + 0.2 * u, offset=0.7),),
        (DirectionEdit(2, v, "rank_one", share=0.5, second=v - w, offset=-0.4, positions="response", half_life=3.0),),
        *((DirectionEdit(1, 2 * u, positions=place),) for place in ("response", "prompt", "last:3", "from:4", "at:2")),
        (DirectionEdit(1, 2 * w, half_life=2.5),),
        (feature(0, offset=0.5), feature(1, offset=-0.2, positions="response")),
        (feature(2, gain=0.0, offset=1.0),),
        (feature(3, gain=0.0), feature(1, gain=1.5, offset=0.1, positions="response")),
        (feature(0, offset=1.0, when=silent), feature(2, gain=0.0, when=either)),
        (
            AddVector(1, w),
            DirectionEdit(1, u, "add_constant_norm"),
            DirectionEdit(1, v, "ablate"),
            DirectionEdit(1, w, "rotate", second=second, degrees=90.0, positions="last:3"),
            DirectionEdit(1, v, "rank_one", second=0.5 * u, offset=0.2),
            DirectionEdit(2, 2 * v),
            feature(5, gain=0.0, offset=0.4),
        ),
    ]


def locally(edits: Sequence[Edit], x: torch.Tensor) -> list[torch.Tensor]:
    """What the local engine makes of the streams `[layers, tokens, d_model]` of one text."""
    blocks = nn.ModuleList(nn.Identity() for _ in range(LAYERS))
    tables = build_tables([[e for e in edits if is_constant(e)]], SAE_, WIDTH, CPU, torch.float32)
    varying = [e for e in edits if isinstance(e, FeatureEdit) and not is_constant(e)]
    directed = [e for e in edits if isinstance(e, DirectionEdit)]
    directions = {
        layer: DirectionTable([[e for e in directed if e.layer == layer]], WIDTH, CPU)
        for layer in {e.layer for e in directed}
    }
    steering = Steering(blocks, tables, FeatureTable([varying], SAE_, CPU) if varying else None, directions)
    steering.row_is(torch.tensor([0]), response_from=START)
    with steering:
        return [block(x[layer][None])[0] for layer, block in enumerate(blocks)]


def board(**change: object) -> Board:
    settings = {"sequences": 32, "tokens": 1024, "device": CPU, "dtype": torch.float32, "eager": False}
    return Board(LIMITS, **{**settings, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("eager", [False, True])  # not eager: as a model that is compiled for a CPU
@pytest.mark.parametrize("chunk", [1, 3, LENGTH])
def test_a_shared_pass_steers_every_token_as_the_local_engine_does(eager: bool, chunk: int) -> None:
    random, many = torch.Generator().manual_seed(2), kinds()
    streams = torch.randn(len(many), LAYERS, LENGTH, WIDTH, generator=random)
    texts = {f"r{i}": program_of(edits, start=START, sae=SAE_) for i, edits in enumerate(many)}
    programs = {name: text for name, text in texts.items() if text is not None}
    here, made = board(eager=eager), torch.empty_like(streams)
    for first in range(0, LENGTH, chunk):
        last = min(first + chunk, LENGTH)
        # each step in another order, as a server's batches are
        order = np.random.default_rng(first).permutation(len(many))
        names = [f"r{i}" for i in order]
        counts = np.full(len(many), last - first)
        here.prepare(Batch(names, programs, np.full(len(many), first), counts))
        for layer, point in enumerate(here.points):
            x = torch.cat([streams[i, layer, first:last] for i in order])
            hidden, residual = 0.25 * x, 0.75 * x
            steered, left = point((hidden, residual))
            assert left is residual
            for place, row in enumerate((steered + residual).split(last - first)):
                made[order[place], layer, first:last] = row
    for i, edits in enumerate(many):
        expected = torch.stack(locally(edits, streams[i]))
        torch.testing.assert_close(made[i], expected, rtol=1e-5, atol=2e-5, msg=lambda m, i=i: f"{many[i]}: {m}")


@pytest.mark.parametrize("steered", [False, True])
def test_changes_as_one_step_are_what_a_compiler_takes_them_for(steered: bool) -> None:
    here, text = board(), program_of([DirectionEdit(1, np.ones(WIDTH), "ablate")], start=3, sae=None)
    here.prepare(Batch(["a", "b"], {"a": text} if steered else {}, np.array([0, 9]), np.array([4, 1])))
    tables, stream = here.points[1], torch.randn(5, WIDTH)
    names = ("directions", "numbers", "read_rows", "read_numbers", "write_rows")
    given = (stream, tables.program[:5], tables.weights[:5], *(getattr(tables, name) for name in names))
    torch.testing.assert_close(changed_as_one(*given), changed(*given), rtol=0, atol=1e-6)
    torch.library.opcheck(changed_as_one, given, test_utils=("test_schema", "test_faketensor"))


def test_what_left_the_batch_leaves_no_trace() -> None:
    here, many = board(sequences=4), [edits for edits in kinds() if edits]
    x = torch.randn(6, WIDTH)
    for turn in range(40):  # each program holds rows for a while, and then others get them
        names = [f"r{(turn + i) % len(many)}" for i in range(4)]
        programs = {f"r{i}": program_of(many[i], start=START, sae=SAE_) for i in range(len(many))}
        here.prepare(Batch(names, programs, np.full(4, 20), np.ones(4, int)))
    here.prepare(Batch(["a", "b"], {}, np.array([0, 3]), np.array([5, 1])))
    assert here.steered == here.sums.taken == here.directions.taken == 0
    for point in here.points:
        assert torch.equal(point(x), x)


def test_a_short_pass_leaves_nothing_for_a_long_one() -> None:
    """Graphs read all tokens of all blocks, so what a long pass pointed at has to be gone after a short one."""
    here, x = board(), torch.randn(40, WIDTH)
    ablation = program_of([AddVector(1, np.ones(WIDTH)), DirectionEdit(2, np.ones(WIDTH), "ablate")], start=3, sae=None)
    other = program_of([AddVector(3, np.ones(WIDTH))], start=3, sae=None)
    for between in ({}, {"b": other}):
        here.prepare(Batch(["a"], {"a": ablation}, np.array([0]), np.array([40])))
        assert not torch.equal(here.points[1](x), x)
        here.prepare(Batch(["b"], between, np.array([9]), np.array([1])))
        here.prepare(Batch(["c"], {}, np.array([0]), np.array([40])))
        for point in here.points:
            assert torch.equal(point(x), x)


def test_requests_that_steer_alike_share_rows() -> None:
    here, text = board(), program_of([AddVector(1, np.ones(WIDTH))], start=3, sae=None)
    names = [f"r{i}" for i in range(32)]
    here.prepare(Batch(names, dict.fromkeys(names, text), np.full(32, 9), np.ones(32, int)))
    assert here.steered == 32 and here.sums.taken == 1


def test_the_same_edits_at_all_positions_are_one_program_for_prompts_of_any_length() -> None:
    ablation = DirectionEdit(2, np.ones(WIDTH), "ablate")
    edits: list[Edit] = [AddVector(1, np.ones(WIDTH)), ablation]
    assert program_of(edits, start=3, sae=None) == program_of(edits, start=90, sae=None)
    fading = [replace(ablation, half_life=4.0)]
    assert program_of(fading, start=3, sae=None) != program_of(fading, start=90, sae=None)
    assert program_of([AddVector(1, np.zeros(WIDTH)), feature(0)], start=3, sae=SAE_) is None


def test_blocks_without_room_for_changes_still_add() -> None:
    limits = replace(LIMITS, change_layers=frozenset({2}))
    adding = program_of([AddVector(1, np.ones(WIDTH))], start=3, sae=None)
    assert read_program(adding, limits).layers[1].sums
    ablating = program_of([DirectionEdit(1, np.ones(WIDTH), "ablate")], start=3, sae=None)
    with pytest.raises(ProgramError, match="block 1 has changes"):
        read_program(ablating, limits)


def test_a_topk_sae_is_read_by_no_server() -> None:
    sae = replace(SAE_, architecture="topk", k=2, threshold=None)
    with pytest.raises(ValueError, match="TopK"):
        program_of([feature(1, gain=0.0)], start=3, sae=sae)
    assert program_of([feature(1, offset=0.5)], start=3, sae=sae) is not None
