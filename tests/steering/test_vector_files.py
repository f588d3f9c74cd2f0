"""Vector files: those that repeng and steering-vectors wrote steer as these packages do; ours go there and back."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local import LocalEndpoint  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.core.build import build  # noqa: E402
from mindgap.core.compose import composed, config_folder  # noqa: E402
from mindgap.core.edits import Edit  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.records import Query  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.steering.methods import Method  # noqa: E402
from mindgap.steering.vector_formats import read_vectors, write_vectors  # noqa: E402
from mindgap.steering.vector_source import VectorFile  # noqa: E402
from mindgap.storage.store import Store  # noqa: E402

DATA = Path(__file__).parent / "data"
"""Written by repeng 0.4.0 and steering-vectors 0.12.2 themselves: their files, the weights of a tiny Llama, the logits
that it gives under them, and what their estimators make of the same activations."""
WIDTH = 8


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(DATA / "recorded.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture
def bench(recorded: dict[str, np.ndarray], small_model: SimpleNamespace, tmp_path: Path) -> SteeringBench:
    """The model whose logits the packages recorded, weight by weight."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=24, hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    weights = {name[7:]: torch.tensor(array) for name, array in recorded.items() if name.startswith("weight:")}
    model.load_state_dict(weights)
    engine = Engine(model, small_model.tokenizer, max_rows=4)
    return SteeringBench(LocalEndpoint(engine, "local/recorded"), Store(tmp_path / "store.sqlite"), 0)


def logits(bench: SteeringBench, edits: tuple[Edit, ...], tokens: np.ndarray) -> np.ndarray:
    engine: Engine = bench.endpoint.engine  # type: ignore[attr-defined]
    with torch.inference_mode():
        return engine.pass_over_row(tokens[0].tolist(), 0, engine.steering([edits]), response_from=0).numpy()


def method_of(lines: str, folder: Path) -> Method:
    """The method that a user's own YAML file makes."""
    (folder / "method").mkdir(exist_ok=True)
    (folder / "method" / "mine.yaml").write_text(lines)
    config = composed([f"hydra.searchpath=[file://{folder}]", "method=mine", "tracker=none"], config_folder())
    return build(config["method"], "method", Method)


@pytest.mark.parametrize(("file", "package"), [("repeng.gguf", "repeng"), ("steering_vectors.pt", "steering_vectors")])
def test_three_lines_of_yaml_give_the_logits_of_the_package(
    file: str, package: str, bench: SteeringBench, recorded: dict[str, np.ndarray], tmp_path: Path
) -> None:
    method = method_of(
        "name: mine\nlabel: Mine\ninterventions: [{_target_: mindgap.steering.directed.Directed, "
        f"source: {{_target_: mindgap.steering.vector_source.VectorFile, path: '{DATA / file}'}}}}]\n",
        tmp_path,
    )
    (edits,) = method.edits([Query("anything", "")], bench)
    assert isinstance(edits, tuple)
    np.testing.assert_allclose(logits(bench, (), recorded["tokens"]), recorded["unsteered"][0], atol=1e-4)
    np.testing.assert_allclose(logits(bench, edits, recorded["tokens"]), recorded[package][0], atol=1e-4)
    assert np.abs(recorded[package] - recorded["unsteered"]).max() > 0.1


def test_constant_norm_is_what_repeng_calls_normalize(
    bench: SteeringBench, recorded: dict[str, np.ndarray], tmp_path: Path
) -> None:
    method = method_of(
        "defaults: [saved_vector, _self_]\nname: mine\ninterventions: [{_target_: mindgap.steering.directed.Directed, "
        "operation: add_constant_norm, source: {_target_: mindgap.steering.vector_source.VectorFile, "
        f"path: '{DATA / 'repeng.gguf'}'}}}}]\n",
        tmp_path,
    )
    (edits,) = method.edits([Query("anything", "")], bench)
    assert isinstance(edits, tuple)
    found = logits(bench, edits, recorded["tokens"])
    np.testing.assert_allclose(found, recorded["repeng_normalised"][0], atol=1e-4)


VECTORS = {2: np.arange(8, dtype=np.float32), 5: np.ones(8, dtype=np.float32)}


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".pt", ".gguf"])
def test_what_is_written_is_read_again_with_its_receipt(ending: str, tmp_path: Path) -> None:
    receipt = {"model": "tiny", "query": "be ‘glad’", "unit": "residual stream"}
    path = tmp_path / f"new/vector{ending}"
    write_vectors(path, VECTORS, receipt)
    again = read_vectors(path)
    assert list(again.by_layer) == [2, 5] and again.receipt == receipt
    np.testing.assert_array_equal(again.by_layer[2], VECTORS[2])
    assert json.loads(path.with_name(f"{path.name}.json").read_text()) == receipt


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".pt", ".gguf"])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.95])
def test_a_file_cut_off_is_refused_in_a_sentence(ending: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / f"vector{ending}"
    write_vectors(path, VECTORS, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ConfigError, match=r"vector\.\w+ (cannot be read|holds no vector)") as refused:
        read_vectors(path)
    assert "\n" not in str(refused.value)


def test_an_array_is_a_row_a_block(tmp_path: Path) -> None:
    write_vectors(tmp_path / "one.npy", {3: VECTORS[2]}, {})
    write_vectors(tmp_path / "all.npy", {n: n * VECTORS[5] for n in range(4)}, {})
    assert read_vectors(tmp_path / "one.npy").rows.shape == (1, 8)
    rows = read_vectors(tmp_path / "all.npy")
    assert VectorFile("all.npy").by_layer(rows, 4)[3][0] == 3
    with pytest.raises(ConfigError, match=r"choose \.safetensors"):
        write_vectors(tmp_path / "some.npy", VECTORS, {})


def test_rows_of_hidden_states_begin_before_the_first_block(tmp_path: Path) -> None:
    """Persona vectors are saved so: `[blocks + 1, d_model]`, row 0 the embedding."""
    torch.save(torch.arange(5.0)[:, None].expand(5, 8).clone(), tmp_path / "persona.pt")
    found = VectorFile("persona.pt", layers=(1,)).by_layer(read_vectors(tmp_path / "persona.pt"), 4)
    assert {layer: float(vector[0]) for layer, vector in found.items()} == {1: 2.0}
    torch.save({n: n * torch.ones(8) for n in (1, 2)}, tmp_path / "named.pt")
    found = VectorFile("named.pt", numbering="hidden_states").by_layer(read_vectors(tmp_path / "named.pt"), 4)
    assert {layer: float(vector[0]) for layer, vector in found.items()} == {0: 1.0, 1: 2.0}


@pytest.mark.parametrize(
    ("names", "blocks"),
    [
        (["layer_3", "layer_12"], [3, 12]),
        (["model.layers.3", "model.layers.12"], [3, 12]),
        (["blocks.3.hook_resid_post", "blocks.12.hook_resid_post"], [3, 12]),
        (["blocks.3.hook_resid_pre", "blocks.12.hook_resid_pre"], [2, 11]),
        (["3", "12"], [3, 12]),
    ],
)
def test_names_say_which_block(names: list[str], blocks: list[int], tmp_path: Path) -> None:
    np.savez(tmp_path / "named.npz", **{name: np.ones(8) for name in names})  # type: ignore[arg-type]
    assert list(read_vectors(tmp_path / "named.npz").by_layer) == blocks


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("layers.3.mlp", "not added to the output of a block"),
        ("blocks.0.hook_resid_pre", "before the first block"),
        ("joy", "does not say which block"),
    ],
)
def test_other_places_are_refused_by_name(name: str, said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "named.npz", **{name: np.ones(8), "layer_2": np.ones(8)})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=said):
        read_vectors(tmp_path / "named.npz")


class Harmful:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (Path("harmed").touch, ())


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Harmful(), tmp_path / "code.pt")
    np.save(tmp_path / "code.npy", np.array([Harmful()], dtype=object), allow_pickle=True)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful()))
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Harmful()))
    Path("harmed").unlink(missing_ok=True)
    for name in ("code.pt", "code.npy", "plain.pt", "plain.bin"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_vectors(tmp_path / name)
    assert not Path("harmed").exists()


def test_a_steering_vector_for_another_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class is made here under the package's name, as `torch.save` writes that down."""
    import sys

    written = type("SteeringVector", (), {"__module__": "steering_vectors.steering_vector"})
    module = SimpleNamespace(SteeringVector=written)
    monkeypatch.setitem(sys.modules, "steering_vectors", SimpleNamespace(steering_vector=module))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "steering_vectors.steering_vector", module)  # type: ignore[arg-type]
    vector = written()
    vector.__dict__.update(layer_activations={1: torch.ones(8)}, layer_type="mlp")
    torch.save(vector, tmp_path / "mlp.pt")
    with pytest.raises(ConfigError, match="'mlp'"):
        read_vectors(tmp_path / "mlp.pt")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"path": ""}, "name a file"),
        ({"path": "x.gguf", "layers": ()}, "names no block"),
        ({"path": "x.gguf", "layers": 12.0}, r"block 12 is \[12\]"),
        ({"path": "x.gguf", "layers": "some"}, "all, middle"),
        ({"path": "x.gguf", "numbering": "rows"}, "block or hidden_states"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VectorFile(**settings)


def test_a_file_that_does_not_fit_the_model_is_refused(bench: SteeringBench, tmp_path: Path) -> None:
    def made(path: Path, **settings: object) -> object:
        return VectorFile(str(path), **settings).directions([Query("a", "")], bench)  # type: ignore[arg-type]

    write_vectors(tmp_path / "wide.pt", {1: np.ones(9), 2: np.ones(9)}, {})
    write_vectors(tmp_path / "deep.pt", {1: np.ones(WIDTH), 7: np.ones(WIDTH)}, {})
    write_vectors(tmp_path / "one.npy", {1: np.ones(WIDTH)}, {})
    for name, settings, said in [
        ("wide.pt", {}, "width 9, and this one's is 8"),
        ("deep.pt", {}, "names block 7; the model has blocks 0 to 3"),
        ("deep.pt", {"layers": (2,)}, "no vector for block 2"),
        ("one.npy", {}, r"set layers=\[N\]"),
        ("gone.npy", {}, "no such file"),
        ("one.csv", {}, "no kind of vector file"),
    ]:
        with pytest.raises(ConfigError, match=said):
            made(tmp_path / str(name), **settings)  # type: ignore[arg-type]
    assert made(tmp_path / "one.npy", layers=(1, -1))[0][1].layer == 3  # type: ignore[index]
