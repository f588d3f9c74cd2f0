"""`python -m mindgap.features` shows what is known of features, and answers a mistake with one message."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("torch")

from chat_server import ChatServer, Reply, chat_server  # noqa: F401
from random_sae import random_sae
from rich.console import Console
from small_catalogue import small_catalogue

from mindgap.features.__main__ import main
from mindgap.features.show import percent, print_feature
from mindgap.sae import native_format
from mindgap.sae.catalogue import FILE, load
from mindgap.sae.labels import labelled
from mindgap.training.describe import main as describe_main


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An SAE of five features on disk, with a catalogue beside it; searched by words."""
    monkeypatch.setattr("mindgap.sae.search.embedder_lacks", lambda: ["the package"])
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "own"
    folder.mkdir()
    native_format.save(random_sae(8, features=5), folder / "sae.safetensors")
    identity = native_format.load(folder / "sae.safetensors").identity
    labelled(small_catalogue(identity)).save(folder / "catalogue.parquet")
    return f"model.sae={folder}"


def test_search_names_features_with_label_and_marked_context(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "funny", "jokes", release, "count=2"]) == 0
    said = capsys.readouterr().out
    assert "when asked to be funny" in said
    assert "«funny»" in said
    assert "boat" not in said


def test_show_tells_everything_of_a_feature(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "0", "4", release]) == 0
    said = capsys.readouterr().out
    for part in ("1 % of tokens", "That is a «funny» joke , he laughed", "haha", "be funny: 3.0 times", "scale"):
        assert part in said
    assert "feature 4: never active" in said


@pytest.mark.parametrize(
    ("sort", "order"),
    [("density", [3, 2, 0, 1]), ("rarest", [1, 0, 2, 3]), ("scale", [1, 0, 2, 3]), ("index", [0, 1, 2, 3])],
)
def test_list_sorts_live_features(
    sort: str, order: list[int], release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", f"sort={sort}", release]) == 0
    said = capsys.readouterr().out
    assert "4 of 5 features active" in said
    rows = [line.split()[0] for line in said.splitlines() if line.strip()[:1].isdigit() and " % " in line]
    assert [int(row) for row in rows] == order


def test_a_terminal_shows_activation_as_colour_and_no_marks(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(force_terminal=True, color_system="standard", width=100, legacy_windows=False)
    print_feature(console, labelled(small_catalogue()).feature(0))
    said = capsys.readouterr().out
    assert "\x1b[" in said
    assert "«" not in said


def test_what_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from small_catalogue import context, feature

    from mindgap.sae.catalogue import build

    row = feature([context("[bold] see [/bold] it", "see")], promoted=["[red]"])
    print_feature(Console(width=100), labelled(build([row], sae="x@0", texts=1, tokens=1)).feature(0))
    said = capsys.readouterr().out
    assert "[bold] «see» [/bold] it" in said
    assert "[red]" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shwo", "1", "SAE"], "Did you mean show?"),
        (["search", "SAE"], "search needs a text"),
        (["search", "xylophones", "SAE"], "try other words"),
        (["show", "5", "SAE"], "this SAE has 0 to 4"),
        (["show", "-1", "SAE"], "-1"),
        (["show", "one", "SAE"], "'one' is not a whole number"),
        (["show", "SAE"], "show needs the number of a feature"),
        (["list", "sort=densty", "SAE"], "Did you mean density?"),
        (["list", "count=0", "SAE"], "count must be at least 1"),
        (["list", "cout=3", "SAE"], "Did you mean count?"),
        (["list", "model=tny", "SAE"], "Did you mean tiny?"),
        (["list", "model.sae=null"], "model=tiny has no SAE"),
        (["list", "model.sae=/no/such/folder"], "/no/such/folder"),
        (["list", "--config-dir", "/no/such/folder", "SAE"], "there is no such folder"),
    ],
)
def test_a_mistake_is_one_message(
    arguments: list[str], words: str, release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([release if argument == "SAE" else argument for argument in arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_sae_that_is_not_described_yet_names_the_command(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(release.partition("=")[2])
    (folder / "catalogue.parquet").unlink()
    assert main(["list", release]) == 2
    said = capsys.readouterr().err
    assert f"python -m mindgap.training.describe model=tiny model.sae={folder} texts=" in said


def test_a_catalogue_of_another_sae_is_not_shown(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(release.partition("=")[2])
    native_format.save(random_sae(8, features=5, seed=1), folder / "sae.safetensors")
    assert main(["list", release]) == 2
    assert "Describe that one" in capsys.readouterr().err


def test_a_model_of_ones_own_is_found_in_the_config_dir(
    release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    folder = release.partition("=")[2]
    text = f"_target_: mindgap.core.model.ModelSpec\nname: mine\nhf_id: some/model\nsae: {folder}\n"
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(text)
    assert main(["show", "1", "model=mine", "--config-dir", str(tmp_path / "conf")]) == 0
    assert "boat" in capsys.readouterr().out


def test_autosteer_is_asked_for_the_whole_specification(
    release: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standin = ModuleType("mindgap.features.steer")
    standin.autosteer_report = lambda text, model: f"{text} on {model.name}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mindgap.features.steer", standin)
    assert main(["autosteer", "be", "funny", release]) == 0
    assert "be funny on tiny" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["texts=/no/such.jsonl", "SAE"], "there is no file /no/such.jsonl"),
        (["text=a.jsonl", "SAE"], "Did you mean texts?"),
        (["a.jsonl", "SAE"], "name=value"),
        (["texts=a.jsonl", "model.sae=null"], "has no SAE"),
        (["labeller=openai/x", "labeller_key=NOBODY_HAS_THIS", "SAE"], "NOBODY_HAS_THIS"),
    ],
)
def test_a_mistake_in_describing_is_one_message(
    arguments: list[str], words: str, release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert describe_main([release if argument == "SAE" else argument for argument in arguments]) == 2
    assert words in capsys.readouterr().err


def test_percentages_keep_two_digits_that_say_something() -> None:
    assert [percent(share) for share in (0, 0.00012, 0.0123, 0.2, 1.0)] == ["0 %", "0.012 %", "1.2 %", "20 %", "100 %"]


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "autosteer" in capsys.readouterr().out


def labels_of(folder: Path) -> tuple[str, ...]:
    (path,) = [path for path in folder.rglob(FILE) if path.is_file()]
    return load(path).labels


def test_an_sae_is_described_labelled_by_an_llm_and_looked_at(
    small_model: SimpleNamespace,
    chat_server: ChatServer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole way, on a model and an SAE on disk."""
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mindgap.text.embedding.embedder_lacks", lambda: ["the package"])
    small_model.model.save_pretrained(tmp_path / "model")
    small_model.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "sae").mkdir()
    native_format.save(random_sae(32, features=12), tmp_path / "sae" / "sae.safetensors")
    (tmp_path / "texts.txt").write_text("\n\n".join(f"text number {n} is here" for n in range(30)))
    model = ["model.embedded=false", f"model.hf_id={tmp_path / 'model'}", f"model.sae={tmp_path / 'sae'}"]
    chat_server.script(Reply("phrase of the server"))
    assert describe_main([*model, f"texts={tmp_path / 'texts.txt'}"]) == 0
    assert "features described" in capsys.readouterr().out
    assert describe_main([*model, "labeller=openai/x", f"labeller_base={chat_server.url}", "labeller_key=none"]) == 0
    capsys.readouterr()
    assert main(["list", *model]) == 0
    said = capsys.readouterr().out
    assert "phrase of the server" in said
    assert "30 texts" in said
    live = next(index for index, label in enumerate(labels_of(tmp_path)) if label)
    (tmp_path / "np.jsonl").write_text(json.dumps({"index": live, "description": "explained elsewhere"}))
    assert describe_main([*model, f"labels={tmp_path / 'np.jsonl'}"]) == 0
    assert labels_of(tmp_path)[live] == "explained elsewhere"
