"""A panel: several judges as one, none of them trusted with more than its own score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.judges.panel import PanelJudge

SCORES = Sequence[tuple[float | None, float | None]]


@dataclass(frozen=True)
class Member:
    """Gives these scores, first to last request, in the order `places`; counts how far it was asked to go."""

    title: str
    scores: SCORES = ((3, 3),)
    places: tuple[int, ...] = ()
    usd: float | None = None
    transient: bool = False
    begun: list[int] = field(default_factory=list, compare=False)
    closed: list[bool] = field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        return self.title

    @property
    def identity(self) -> str:
        return f"member/{self.title}"

    def lacks(self) -> list[str]:
        return ["a key"] if self.title == "keyless" else []

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        try:
            for index in self.places or range(len(requests)):
                self.begun.append(index)
                behaviour, coherence = (
                    Score(None, "it would not say") if value is None else Score(value) for value in self.scores[index]
                )
                yield index, Judgement(behaviour, coherence, f"{self.title} says so", self.usd, self.transient)
        finally:
            self.closed.append(True)


def requests(count: int) -> list[JudgeRequest]:
    return [JudgeRequest("be funny", "is it?", "What?", f"reply {number}") for number in range(count)]


def judged(panel: PanelJudge, count: int = 1) -> dict[int, Judgement]:
    judged = list(panel.judge(requests(count)))
    assert sorted(index for index, _ in judged) == list(range(count))
    return dict(judged)


def test_mean_and_median_of_the_members() -> None:
    members = [Member("a", [(1, 2)]), Member("b", [(2, 4)]), Member("c", [(5, 5)])]
    mean, median = judged(PanelJudge(members))[0], judged(PanelJudge(members, "median"))[0]
    assert mean.behaviour.value == pytest.approx(8 / 3) and mean.coherence.value == pytest.approx(11 / 3)
    assert (median.behaviour.value, median.coherence.value) == (2, 4)


def test_members_that_answer_in_different_orders_are_joined_by_request() -> None:
    forth = Member("forth", [(1, 1), (2, 2), (3, 3)])
    back = Member("back", [(1, 1), (2, 2), (3, 3)], places=(2, 1, 0))
    combined = judged(PanelJudge([forth, back]), 3)
    assert [combined[index].behaviour.value for index in range(3)] == [1, 2, 3]


def test_a_missing_member_is_left_out_and_said() -> None:
    members = [Member("a", [(2, None)]), Member("b", [(4, 3)]), Member("c", [(None, None)])]
    combined = judged(PanelJudge(members))[0]
    assert combined.behaviour.value == 3
    assert "c: behaviour left out (it would not say)" in combined.analysis and "a: behaviour 2," in combined.analysis
    assert combined.coherence == Score(None, "1 of 3 members gave a score, 2 must: it would not say")
    assert judged(PanelJudge(members, least=1))[0].coherence.value == 3


def test_costs_add_up_as_far_as_they_are_known() -> None:
    members = [Member("a", usd=0.25), Member("b", usd=0.5), Member("c")]
    assert judged(PanelJudge(members))[0].cost_usd == 0.75
    assert judged(PanelJudge([Member("a"), Member("c")]))[0].cost_usd is None


def test_a_member_that_could_not_be_reached_makes_the_judgement_one_to_ask_again() -> None:
    assert judged(PanelJudge([Member("a"), Member("b", transient=True), Member("c")]))[0].transient
    assert not judged(PanelJudge([Member("a"), Member("b")]))[0].transient


def test_members_go_in_step_and_are_closed_when_the_panel_is() -> None:
    members = [Member("a", [(3, 3)] * 9), Member("b", [(3, 3)] * 9)]
    stream = PanelJudge(members).judge(requests(9))
    next(stream), next(stream)
    assert [member.begun for member in members] == [[0, 1], [0, 1]]  # none has run ahead, at its price
    stream.close()  # type: ignore[attr-defined]
    assert [member.closed for member in members] == [[True], [True]]


def test_the_identity_holds_the_members_and_the_rule_but_not_their_order() -> None:
    a, b, c = Member("a"), Member("b"), Member("c")
    assert PanelJudge([a, b]).identity == PanelJudge([b, a]).identity
    others = [PanelJudge([a, b]), PanelJudge([a, c]), PanelJudge([a, b], "median"), PanelJudge([a, b], least=1)]
    assert len({panel.identity for panel in others}) == 4


def test_what_a_member_lacks_the_panel_lacks() -> None:
    assert PanelJudge([Member("a"), Member("keyless")]).lacks() == ["a key (keyless)"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"members": [Member("a")]}, "judge.members"),
        ({"members": [Member("a"), Member("a")]}, "judge.members"),
        ({"members": [Member("a"), Member("b")], "least": 3}, "judge.least"),
        ({"members": [Member("a"), Member("b")], "least": 0}, "judge.least"),
    ],
)
def test_panels_that_are_none_are_refused(settings: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        PanelJudge(**settings)


def test_the_packaged_panel_is_built_with_two_different_members() -> None:
    changes = ["judge=panel", "judge.combine=median", "judge.members.first.max_retries=1"]
    panel = build(composed(changes, config_folder())["judge"], "judge")
    assert panel.name == "median of gpt-4o-mini, gpt-4.1"
    assert [member.max_retries for member in panel.judges] == [1, 5]
    assert all(member.identity in panel.identity for member in panel.judges)


def test_members_may_also_be_a_list() -> None:
    llm = {"_target_": "mindgap.judges.llm.LLMJudge"}
    node = {"_target_": "mindgap.judges.panel.PanelJudge", "members": [llm, llm | {"model": "gpt-4.1"}]}
    assert build(node, "judge").name == "mean of gpt-4o-mini, gpt-4.1"


def test_a_wrong_setting_of_a_member_is_named_in_full() -> None:
    node = composed(["judge=panel", "+judge.members.first.max_tokns=3"], config_folder())["judge"]
    with pytest.raises(ConfigError, match=r"judge\.members\.first\.max_tokns"):
        build(node, "judge")


def test_another_rule_is_refused() -> None:
    node = composed(["judge=panel", "judge.combine=mode"], config_folder())["judge"]
    with pytest.raises(ConfigError, match=r"judge\.combine"):
        build(node, "judge")
