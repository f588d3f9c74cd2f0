"""What is known of a sample once its reply is there: perplexity, what the judge is shown, and the record of it all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from mindgap.backends.base import Endpoint
from mindgap.core.measurement import Value
from mindgap.core.records import (
    UNASKED,
    Answer,
    Completion,
    Item,
    Judgement,
    JudgeRequest,
    Message,
    OptionScores,
    OptionsRequest,
    Record,
    Request,
    transcript,
)
from mindgap.study.experiment import Experiment
from mindgap.study.plan import Sample, as_text
from mindgap.tasks.trials import Generation, SelfScoring

MOST_NATS = 700.0
"""Per token; the exponential of more is no number any more."""


def reply_to(sample: Sample, replies: Mapping[str, Completion]) -> Completion:
    """The reply that is judged, of those by key; one without text where the task asks for none."""
    return replies[sample.request.key] if sample.request else Completion("", "unasked")


def perplexity_request(
    experiment: Experiment, sample: Sample, reply: Completion, endpoint: Endpoint
) -> OptionsRequest | None:
    """The question how likely the reply is to the unsteered, uninstructed model; None where there is no text."""
    if not reply.text.strip():
        return None
    tokens = (reply.tokens,) if reply.tokens else ()
    if experiment.scores_itself:
        task = cast(SelfScoring, experiment.task)
        trial = next(trial for trial in task.trials(sample.item) if isinstance(trial, Generation))
        prompt = as_text(trial.messages, endpoint, chat=trial.chat)
        return OptionsRequest(endpoint.identity, prompt, (reply.text,), tokens=tokens, as_text=True)
    neutral: tuple[Message, ...] = experiment.task.messages(sample.item)
    return OptionsRequest(endpoint.identity, neutral, (reply.text,), tokens=tokens)


def perplexity(scores: OptionScores) -> Value:
    """Perplexity from the log-likelihoods of one text: the exponential of minus its mean per token, in nats."""
    if scores.error is not None:
        return Value(None, scores.error)
    mean = scores.per_token()[0]
    if not math.isfinite(mean) or mean < -MOST_NATS:
        return Value(None, f"a log-likelihood of {mean} nats per token gives no perplexity")
    return Value(math.exp(-mean))


def judge_request(sample: Sample, reply: Completion) -> JudgeRequest | None:
    """What the judge is shown of a sample: nothing of method, strength or steering. None where there is no reply."""
    if reply.no_reply is not None:
        return None
    return JudgeRequest(sample.query.text, sample.query.rubric, sample.item.asked, reply.text)


def record(
    experiment: Experiment,
    sample: Sample,
    reply: Completion,
    options: OptionScores | None,
    judgement: Judgement | None,
    perplexity: Value | None,
    likelihoods: Sequence[OptionScores] = (),
) -> Record:
    """One sample with all that is known of it. What is not known says why.

    Args:
        experiment: The cell.
        sample: What was asked.
        reply: The reply that is judged (`reply_to`).
        options: Of the item's options, where it has any.
        judgement: What the judge says.
        perplexity: Of the reply.
        likelihoods: What a task that scores items itself asked for.
    """
    item, prompt = sample.item, _prompt(sample)
    if failed := next((scored.error for scored in likelihoods if scored.error is not None), None):
        reply = replace(reply, finish_reason="error", error=reply.error or failed)
    answer = _answer(experiment, item, reply)
    likeliest, why_none = options.likeliest() if options is not None else (None, None)
    no_judgement = None
    if judgement is None:
        no_judgement = UNASKED if reply.finish_reason == "unasked" else f"not judged: {reply.no_reply}"
    system = next((message.content for message in prompt if message.role == "system"), "")
    return Record(
        key=sample.key,
        model=experiment.model.name,
        method=experiment.method.name,
        strength=experiment.strength_label,
        dose=sample.dose,
        query=sample.query.text,
        item=item.id,
        subject=item.subject,
        epoch=sample.epoch,
        system_prompt=system,
        prompt=prompt[-1].content if prompt else "",
        response=reply.text,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        error=reply.error,
        gold=item.gold_text,
        answer=_option(item, answer),
        unparsed=answer.unparsed if answer else None,
        correct=_correct(item, answer),
        loglik_answer=None if likeliest is None else item.options[likeliest],
        loglik_correct=None if likeliest is None or item.gold is None else likeliest == item.gold,
        option_logprobs=_logprobs(likelihoods if options is None or likeliest is None else [options]),
        loglik_missing=why_none,
        judge=experiment.judge.name,
        behaviour=judgement.behaviour.value if judgement else None,
        behaviour_missing=judgement.behaviour.missing if judgement else no_judgement,
        coherence=judgement.coherence.value if judgement else None,
        coherence_missing=judgement.coherence.missing if judgement else no_judgement,
        analysis=judgement.analysis if judgement else "",
        perplexity=perplexity.value if perplexity else None,
        perplexity_missing=perplexity.missing if perplexity else _why_no_perplexity(reply),
        edits=tuple(str(edit) for edit in sample.edits),
        thought=reply.thought,
        turns=transcript(message for message in prompt[:-1] if message.role != "system"),
    )


def scores(
    experiment: Experiment,
    sample: Sample,
    replies: Mapping[str, Completion],
    options: Mapping[str, OptionScores],
) -> Mapping[str, Value]:
    """What a task that scores items itself makes of a sample, by the names it declares; nothing of other tasks."""
    if not experiment.scores_itself:
        return {}
    outcomes = [replies[t.key] if isinstance(t, Request) else options[t.key] for t in sample.trials]
    return cast(SelfScoring, experiment.task).score(sample.item, outcomes)


def _prompt(sample: Sample) -> tuple[Message, ...]:
    """The messages that the sample's model was given: those of the reply, else of the first texts scored."""
    return next((asked.messages for asked in (sample.request, *sample.trials) if asked), ())


def _logprobs(scored: Sequence[OptionScores]) -> tuple[float, ...]:
    return tuple(logprob for each in scored for logprob in each.logprobs)


def _answer(experiment: Experiment, item: Item, reply: Completion) -> Answer | None:
    """What the reply settles on; a thought without a reply settles on nothing."""
    if not (item.options or item.reference) or reply.error is not None or reply.finish_reason == "unasked":
        return None
    answer = experiment.task.read(item, reply.text)
    return Answer(None, reply.no_reply) if answer is not None and reply.no_reply is not None else answer


def _option(item: Item, answer: Answer | None) -> str | None:
    if answer is None:
        return None
    return answer.text if answer.choice is None else item.options[answer.choice]


def _correct(item: Item, answer: Answer | None) -> bool | None:
    """Whether the answer is right; what cannot be read is not. None where no right answer is known."""
    if answer is None or item.gold_text is None:
        return None
    return bool(answer.right) if answer.choice is None else answer.choice == item.gold


def _why_no_perplexity(reply: Completion) -> str:
    if reply.no_reply is not None:
        return reply.no_reply
    return "empty response" if not reply.text.strip() else "the backend gives no log-likelihoods"
