"""What is known of a sample once its reply is there: perplexity, what the judge is shown, and the record of it all."""

from __future__ import annotations

import math

from mindgap.backends.base import Endpoint
from mindgap.core.measurement import Value
from mindgap.core.records import (
    Answer,
    Completion,
    Item,
    Judgement,
    JudgeRequest,
    Message,
    OptionScores,
    OptionsRequest,
    Record,
    transcript,
)
from mindgap.study.experiment import Experiment
from mindgap.study.plan import Sample

MOST_NATS = 700.0
"""Per token; the exponential of more is no number any more."""


def perplexity_request(
    experiment: Experiment, sample: Sample, reply: Completion, endpoint: Endpoint
) -> OptionsRequest | None:
    """The question how likely the reply is to the unsteered, uninstructed model; None where there is no text."""
    if not reply.text.strip():
        return None
    neutral: tuple[Message, ...] = experiment.task.messages(sample.item)
    return OptionsRequest(endpoint.identity, neutral, (reply.text,), tokens=(reply.tokens,) if reply.tokens else ())


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
) -> Record:
    """One sample with all that is known of it. What is not known says why."""
    item, request = sample.item, sample.request
    answer = _answer(experiment, item, reply)
    likeliest, why_none = options.likeliest() if options is not None else (None, None)
    no_judgement = f"not judged: {reply.no_reply}" if judgement is None else None
    system = next((message.content for message in request.messages if message.role == "system"), "")
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
        prompt=request.messages[-1].content,
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
        option_logprobs=options.logprobs if options and likeliest is not None else (),
        loglik_missing=why_none,
        judge=experiment.judge.name,
        behaviour=judgement.behaviour.value if judgement else None,
        behaviour_missing=judgement.behaviour.missing if judgement else no_judgement,
        coherence=judgement.coherence.value if judgement else None,
        coherence_missing=judgement.coherence.missing if judgement else no_judgement,
        analysis=judgement.analysis if judgement else "",
        perplexity=perplexity.value if perplexity else None,
        perplexity_missing=perplexity.missing if perplexity else _why_no_perplexity(reply),
        edits=tuple(str(edit) for edit in request.edits),
        thought=reply.thought,
        turns=transcript(message for message in request.messages[:-1] if message.role != "system"),
    )


def _answer(experiment: Experiment, item: Item, reply: Completion) -> Answer | None:
    """What the reply settles on; a thought without a reply settles on nothing."""
    if not (item.options or item.reference) or reply.error is not None:
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
