"""How a judge's replies become scores: expectations over log-probabilities, votes, one request or two."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from chat_server import ChatServer, Reply

from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.judges.expectation import expected
from mindgap.judges.llm import LLMJudge

REQUEST = JudgeRequest("be funny", "5 = every line is a joke", "Why is the sky blue?", "Because it is sad.")


@pytest.fixture
def judge(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> LLMJudge:
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 0.01)
    return LLMJudge(model="openai/some-judge", api_base=chat_server.url, key_env=None, max_retries=1)


def only(judge: LLMJudge) -> Judgement:
    ((_, judgement),) = judge.judge([REQUEST])
    return judgement


def tokens(
    text: str, chances: dict[str, dict[str, float]] | None = None, chunk: str = r"\d|\D"
) -> list[dict[str, Any]]:
    """`text` cut into tokens as a provider reports them; `chances`: probabilities instead of certainty, by token."""
    listed = []
    for piece in re.findall(chunk, text, re.DOTALL):
        likely = (chances or {}).get(piece, {piece: 1.0})
        top = [{"token": token, "logprob": math.log(chance)} for token, chance in likely.items()]
        listed.append(
            {"token": piece, "bytes": list(piece.encode()), "logprob": top[0]["logprob"], "top_logprobs": top}
        )
    return listed


REPLY = '{"analysis": "Não é \\"behaviour\\": 5, or so.", "behaviour": 4, "coherence": 2}'


def test_a_score_is_the_expectation_over_its_token(judge: LLMJudge, chat_server: ChatServer) -> None:
    reply_tokens = tokens(REPLY, {"4": {"4": 0.6, "5": 0.2, "3": 0.2}, "2": {"2": 0.5, "1": 0.5}})
    chat_server.script(Reply(REPLY, logprobs=reply_tokens))
    judgement = only(judge)
    assert judgement.behaviour.value == pytest.approx(4.0)
    assert judgement.coherence.value == pytest.approx(1.5)
    assert "[whole numbers: behaviour 4, coherence 2]" in judgement.analysis
    body, _ = chat_server.asked[0]
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)


def test_litellm_passes_the_log_probabilities_on(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(Reply(REPLY, logprobs=tokens(REPLY, {"4": {"4": 0.5, "5": 0.5}})))
    assert only(replace(judge, model="gpt-4o-mini")).behaviour.value == pytest.approx(4.5)


@pytest.mark.parametrize("chunk", [r"\d|\D", r".{1,3}", r": ?\d|.", r"\s*\S+", r".*"])
def test_however_the_reply_is_cut_into_tokens(chunk: str) -> None:
    reply_tokens = tokens(REPLY, chunk=chunk)
    for token in reply_tokens:
        core = token["token"].strip(' \t\n":,}')
        if core == "4":
            token["top_logprobs"] = [
                {"token": token["token"].replace("4", digit), "logprob": math.log(0.5)} for digit in "45"
            ]
            assert expected("behaviour", Score(4), reply_tokens, 0.1).value == pytest.approx(4.5)
            return
    score = expected("behaviour", Score(4), reply_tokens, 0.1)
    assert score == Score(4) or score.missing, "a token that holds more than the score tells nothing of the score"


def test_probability_outside_the_scale_is_left_out_while_it_is_little() -> None:
    reply_tokens = tokens(REPLY, {"4": {"4": 0.7, " 5": 0.25, "high": 0.05}})
    assert expected("behaviour", Score(4), reply_tokens, 0.1).value == pytest.approx((4 * 0.7 + 5 * 0.25) / 0.95)


def test_and_makes_the_score_missing_where_it_is_much() -> None:
    reply_tokens = tokens(REPLY, {"4": {"4": 0.7, "0": 0.2, "high": 0.1}})
    score = expected("behaviour", Score(4), reply_tokens, 0.1)
    assert score.missing == "the judge was unsure of behaviour: 30% of the probability is outside 1 to 5"
    assert expected("coherence", Score(2), reply_tokens, 0.1).value == 2, "the other score stands"


def test_what_is_missing_stays_missing() -> None:
    assert expected("behaviour", Score(None, "no"), tokens(REPLY), 0.1) == Score(None, "no")


def test_a_provider_without_log_probabilities_gives_whole_numbers(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(Reply(REPLY))
    judgement = only(judge)
    assert (judgement.behaviour.value, judgement.coherence.value) == (4, 2)
    only(replace(judge, top_logprobs=0))
    assert "logprobs" not in chat_server.asked[-1][0]


def rating(behaviour: Any, coherence: Any) -> Reply:
    return Reply(json.dumps({"analysis": "short", "behaviour": behaviour, "coherence": coherence}))


def test_votes_are_averaged_each_with_its_own_seed(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(rating(4, 5), rating(5, 5), rating(9, 2))
    judgement = only(replace(judge, votes=3, temperature=1.0))
    assert (judgement.behaviour.value, judgement.coherence.value) == (4.5, 4)
    assert "4 and 5; 5 and 5; none and 2" in judgement.analysis
    assert [body["seed"] for body, _ in chat_server.asked] == [0, 1, 2]


def test_half_of_the_votes_is_not_enough(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(rating(4, 5), rating(9, 5))
    judgement = only(replace(judge, votes=2, temperature=1.0))
    assert judgement.behaviour.missing == "only 1 of 2 votes gave a score: behaviour is out of range: 9"
    assert judgement.coherence.value == 5
    assert not judgement.transient


def test_nobody_votes_where_log_probabilities_decide(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(Reply(REPLY, logprobs=tokens(REPLY)))
    only(replace(judge, votes=5, temperature=1.0))
    assert len(chat_server.asked) == 1


def test_a_vote_that_cannot_be_had_leaves_the_judgement_for_next_time(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(rating(4, 5), Reply(status=500))
    judgement = only(replace(judge, votes=3, temperature=1.0))
    assert judgement.transient
    assert judgement.behaviour.value is None


def test_two_requests_give_each_score_its_own(judge: LLMJudge, chat_server: ChatServer) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        (name,) = set(body["response_format"]["json_schema"]["schema"]["properties"]) - {"analysis"}
        return Reply(json.dumps({"analysis": f"on {name}", name: {"behaviour": 2, "coherence": 5}[name]}))

    chat_server.answer = answer
    judgement = only(replace(judge, one_request=False))
    assert (judgement.behaviour.value, judgement.coherence.value) == (2, 5)
    assert judgement.analysis == "Behaviour: on behaviour\nCoherence: on coherence"
    assert len(chat_server.asked) == 2


def test_how_scores_are_made_is_part_of_the_identity(judge: LLMJudge) -> None:
    changes: list[dict[str, Any]] = [
        {"one_request": False},
        {"top_logprobs": 0},
        {"most_outside": 0.2},
        {"temperature": 1.0},
        {"temperature": 1.0, "votes": 3},
    ]
    assert len({judge.identity, *(replace(judge, **change).identity for change in changes)}) == 6


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"votes": 3}, "judge.votes=3 are all alike at judge.temperature=0"),
        ({"votes": 0}, "judge.votes must be at least 1"),
        ({"top_logprobs": 3}, "judge.top_logprobs must be 0, or 5 to 20"),
        ({"most_outside": 1.0}, "judge.most_outside must be at least 0 and below 1"),
        ({"requests_per_minute": 0.0}, "judge.requests_per_minute must be above 0"),
        ({"tokens_per_minute": -1.0}, "judge.tokens_per_minute must be above 0"),
        ({"budget_usd": 0.0}, "judge.budget_usd must be above 0"),
        ({"usd_per_million": (-1.0, 0.0)}, "judge.usd_per_million must be two prices"),
        ({"stop_after": 0}, "judge.stop_after must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        LLMJudge(**setting)
    assert message in str(refused.value)
