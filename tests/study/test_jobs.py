"""Whatever a YAML file or a command line holds, a mistake in it is one sentence and nothing has been run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf

from mindgap.core.compose import compose_job, composing, config_folder
from mindgap.core.errors import ConfigError
from mindgap.core.explain import Composing
from mindgap.study.experiment import build_experiment
from mindgap.study.jobs import jobs_of

METHOD = "name: m\nlabel: M\n"
FILES: dict[str, tuple[str | bytes, str]] = {
    "a zero byte": (b"name: m\x00\n", "unacceptable character"),
    "Latin-1": ("name: é\n".encode("latin-1"), "not in UTF-8"),
    "UTF-16": ("name: m\n".encode("utf-16"), "not in UTF-8"),
    "a text for defaults": ("defaults: base\n" + METHOD, "defaults must be a list"),
    "a number for defaults": ("defaults: 3\n" + METHOD, "defaults must be a list"),
    "defaults in a circle": ("defaults:\n  - bad\n" + METHOD, "names itself"),
    "nothing among the defaults": ("defaults:\n  - null\n" + METHOD, "defaults"),
    "an alias of itself": ("&a\nname: m\nx: *a\n", "names itself"),
    "5,000 digits": (f"{METHOD}x: {'9' * 5000}\n", "digits"),
    "5,000 brackets": (f"x: {'[' * 5000}{']' * 5000}\n", "nested too deeply"),
    "a tag that runs code": (
        "name: !!python/object/apply:os.system [touch ran]\n",
        "could not determine|cannot be read",
    ),
    "a list": ("- a\n", "."),
    "a reference to itself": ("name: ${method.name}\nlabel: M\n", "."),
    "a reference to nothing": ("name: ${nope}\nlabel: M\n", "nope"),
    "binary data": ("name: !!binary aGVsbG8=\nlabel: M\n", "method.name: is binary data"),
    "half a surrogate pair": ('name: "\\ud800"\nlabel: M\n', "method.name: holds half of a surrogate pair"),
    "a null key": ("null: a\n", "."),
    "no value": ("name: ???\nlabel: M\n", "name"),
    "a relative target": ("_target_: .x.Y\n", "method._target_"),
    "a list for a target": ("_target_: [a]\n", "method._target_"),
    "interventions that are a number": (METHOD + "interventions: 3\n", "method.interventions"),
}


def build_all(overrides: list[str], config_dir: Path | None = None) -> None:
    for job in jobs_of(overrides, config_dir):
        build_experiment(job)


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_malformed_file(content: str | bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "conf" / "method" / "bad.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=words) as mistake:
        build_all(["method=bad"], tmp_path / "conf")
    assert len(str(mistake.value)) < 700
    assert [entry.name for entry in tmp_path.iterdir()] == ["conf"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["method=null"], "must be a string"),
        (["method=../model/tiny"], "method"),
        (["method=" + "x" * 5000], "too long"),
        (["x" * 5000 + "=1"], "too long|no such setting"),
        (["seed=" + "9" * 5000], "digits"),
        (["task.limit=range(3,0)"], "no jobs"),
        (["experiment=nope"], "experiment=nope: there is no such option"),
        (["sweep=.."], "must be a plain folder name"),
        (["method=a b"], "."),
        (["=control"], "Could not override"),
        (["hydra=null"], "must be a string"),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)
def test_a_mistaken_command_line(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as mistake:
        build_all(overrides)
    assert len(str(mistake.value)) < 700


@pytest.mark.parametrize(
    "job",
    [
        [],
        ["method=prompt", "judge=proxy", "resamples=200", "seed=3"],
        [
            "method=vector",
            "method.interventions.0.depth=0.3",
            "strength=dose",
            "strength.dose=0.1",
            "+decoding.top_k=5",
        ],
        ["backend@judge.backend=vllm", "judge=local", "judge.backend.urls=[http://a:1]", "model@judge.model=70b"],
        ["query_set=quick", "query_set.queries=[be kind, be brief]", "++task.limit=2", "~decoding.top_p", "sweep=a"],
        ["experiment=demo", "hydra.verbose=true", "model.template={enable_thinking:false}", "+tracker.x=${seed}"],
    ],
)
def test_a_job_is_composed_as_hydra_composes_it(job: list[str]) -> None:
    with composing(config_folder()):
        expected = compose("config", overrides=job)
        first, again = compose_job(job), compose_job(job)
    assert OmegaConf.to_container(first, resolve=False) == OmegaConf.to_container(expected, resolve=False)
    assert again == first
    assert again is not first, "a job may change its configuration"
    assert OmegaConf.is_struct(first)


def test_what_hydra_refuses_is_refused_in_its_words() -> None:
    for job in (["method.nothing=1"], ["+seed=1"], ["~nothing"], ["method=nothing"], ["seed=${"]):
        with composing(config_folder()):
            with pytest.raises(Composing) as theirs:
                compose("config", overrides=job)
            with pytest.raises(Composing) as ours:
                compose_job(job)
        assert str(ours.value) == str(theirs.value)
