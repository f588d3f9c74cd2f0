"""The judge that a command line names is the one that a study with these settings would have."""

from __future__ import annotations

import pytest

from mindgap.core.compose import config_folder
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.judges.named import judge_from
from mindgap.judges.proxy import ProxyJudge


def test_settings_reach_the_judge() -> None:
    assert judge_from(["judge=proxy", "judge.embedding=false"], config_folder()) == ProxyJudge(embedding=False)


def test_a_class_that_is_no_judge_is_refused() -> None:
    overrides = ["judge=proxy", "judge._target_=mindgap.tracking.NoTracker"]
    with pytest.raises(ConfigError, match=r"judge\._target_: mindgap\.tracking\.NoTracker .* a Judge is needed"):
        judge_from(overrides, config_folder())


def test_a_judge_that_cannot_work_here_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UnavailableError, match="set OPENAI_API_KEY"):
        judge_from(["judge=llm"], config_folder())
