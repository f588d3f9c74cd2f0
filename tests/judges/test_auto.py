"""judge=auto: which judge it is, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply

from mindgap.core.records import JudgeRequest
from mindgap.judges.auto import AutoJudge
from mindgap.judges.base import Judge
from mindgap.judges.llm import LLMJudge
from mindgap.judges.proxy import ProxyJudge

CONF = Path(__file__).resolve().parents[2] / "conf"
PROXY = ProxyJudge()


def test_with_a_key_it_is_the_language_model(monkeypatch: pytest.MonkeyPatch, chat_server: ChatServer) -> None:
    monkeypatch.setenv("SOME_KEY", "x")
    chat_server.script(Reply(json.dumps({"analysis": "", "behaviour": 2, "coherence": 3})))
    llm = LLMJudge(model="openai/m", api_base=chat_server.url, key_env="SOME_KEY")
    judge: Judge = AutoJudge(llm, PROXY)
    assert isinstance(judge, AutoJudge)
    assert (judge.name, judge.identity, judge.lacks()) == (llm.name, llm.identity, [])
    assert "SOME_KEY is set" in judge.why
    ((_, judgement),) = judge.judge([JudgeRequest("q", "r", "q", "text")])
    assert judgement.behaviour.value == 2


def test_without_a_key_it_is_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    judge = AutoJudge(LLMJudge(key_env="SOME_KEY"), PROXY)
    assert judge.choose() is PROXY
    assert judge.name == PROXY.name
    assert judge.lacks() == PROXY.lacks()
    assert "SOME_KEY is not set" in judge.why


@pytest.mark.parametrize("name", ["llm", "proxy", "auto"])
def test_every_key_of_the_yaml_is_a_field_and_every_field_is_in_the_yaml(name: str) -> None:
    hydra = pytest.importorskip("hydra")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node = hydra.compose(overrides=[f"+judge={name}"]).judge
    from omegaconf import OmegaConf

    plain: dict[str, Any] = OmegaConf.to_container(node)  # type: ignore[assignment]
    judges: dict[str, Any] = {"llm": LLMJudge, "proxy": ProxyJudge, "auto": AutoJudge}
    for kind, settings in {name: plain, **({k: plain[k] for k in ("llm", "proxy")} if name == "auto" else {})}.items():
        assert settings["_target_"] == f"mindgap.judges.{kind}.{judges[kind].__name__}"
        assert {key for key in settings if key != "_target_"} == set(judges[kind].__dataclass_fields__)


@pytest.mark.parametrize("name", ["llm", "proxy", "auto"])
def test_the_yaml_builds_the_judge_with_its_own_defaults(name: str) -> None:
    hydra = pytest.importorskip("hydra")
    from omegaconf import OmegaConf

    from mindgap.core.build import build

    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node = hydra.compose(overrides=[f"+judge={name}"]).judge
    built = build(OmegaConf.to_container(node), "judge")  # type: ignore[arg-type]
    llm = {"llm": built, "auto": getattr(built, "llm", None)}.get(name)
    proxy = {"proxy": built, "auto": getattr(built, "proxy", None)}.get(name)
    assert llm in (None, LLMJudge())
    assert proxy in (None, ProxyJudge())
    hash(built)  # the experiment keeps one of each


@pytest.mark.parametrize("name", ["gpt-4o-mini", "strong", "open"])
def test_a_preset_is_the_language_model_judge_and_changes_what_it_says(name: str) -> None:
    hydra = pytest.importorskip("hydra")
    from omegaconf import OmegaConf

    from mindgap.core.build import build

    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node = hydra.compose(overrides=[f"+judge={name}"]).judge
    built = build(OmegaConf.to_container(node), "judge")  # type: ignore[arg-type]
    assert isinstance(built, LLMJudge)
    said = OmegaConf.load(CONF / "judge" / f"{name}.yaml")
    assert {key: getattr(built, key) for key in said if key != "defaults"} == {  # type: ignore[arg-type]
        key: said[key] for key in said if key != "defaults"
    }
