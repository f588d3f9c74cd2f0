"""What flows through an experiment: requests, completions, judgements, records.

Everything here is frozen. A *content key* (`Request.key` and its siblings) is a hash of all that can change
the answer and of nothing else, so it serves as cache key, resume key and join key at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from mindgap.core.characters import encodable, mend, mend_reason
from mindgap.core.edits import Edit
from mindgap.core.keys import content_key
from mindgap.core.measurement import Value

MessageRole = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: Who says it.
        content: What is said.
    """

    role: MessageRole
    content: str

    def __post_init__(self) -> None:
        mend(self, "content")

    def as_dict(self) -> dict[str, str]:
        """The turn in JSON, as chat APIs, files and content keys have it."""
        return {"role": self.role, "content": self.content}


def transcript(messages: Iterable[Message]) -> str:
    """Messages as one text for people: each turn after the name of who says it."""
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen.

    Attributes:
        max_tokens: Longest response.
        temperature: 0 is greedy; then `top_p` and the seed change nothing.
        top_p: Sample from the likeliest tokens that together have this probability.
    """

    max_tokens: int = 256
    temperature: float = 0.6
    top_p: float = 0.9

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must be 0 (greedy) or more, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")


@dataclass(frozen=True)
class Request:
    """One generation asked of a backend.

    Attributes:
        source: Where the text comes from, so exactly that two sources never share a key: backend, model id, revision or
            weights hash, and numeric type (`Endpoint.identity`).
        messages: The conversation so far.
        decoding: How tokens are chosen.
        seed: Of the sampling.
        edits: What is done inside the model.
        without_thought: Have a model that would think first begin with its reply.
        declined: Why the method makes no edits for its query; such a request is answered by this error and reaches no
            model.
        as_text: The prompt is the one message's text as it stands, without a chat template (`TextEndpoint`).
        until: Texts at which the reply ends; they are no part of it. Only with `as_text`.
    """

    source: str
    messages: tuple[Message, ...]
    decoding: Decoding
    seed: int
    edits: tuple[Edit, ...] = ()
    without_thought: bool = False
    declined: str | None = None
    as_text: bool = False
    until: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Content key: of all that can change the answer, and of nothing else."""
        greedy = self.decoding.temperature == 0
        return content_key(
            "completion",
            source=self.source,
            messages=[message.as_dict() for message in self.messages],
            max_tokens=self.decoding.max_tokens,
            temperature=self.decoding.temperature,
            top_p=None if greedy else self.decoding.top_p,
            seed=None if greedy else self.seed,
            edits=_edit_keys(self.edits, self.declined),
            **({"without_thought": True} if self.without_thought else {}),
            **({"as_text": True, "until": self.until} if self.as_text else {}),
        )


def _edit_keys(edits: Sequence[Edit], declined: str | None) -> list[str]:
    keys = [edit.key for edit in edits]
    return keys if declined is None else [*keys, f"declined:{declined}"]


FinishReason = Literal["stop", "length", "thought", "error", "unasked"]
"""`length`: cut off. `thought`: ended or cut off before the model had done with thinking, so that there is no reply.
`unasked`: the task scores given texts by their likelihood and asks for no reply."""

UNFINISHED_THOUGHT = "unfinished thought"
"""Why there is no reply where a reply ends with `thought`."""
UNASKED = "the task asks for no reply"
"""Why there is no reply where it ends with `unasked`. What is measured on replies does not apply then."""


@dataclass(frozen=True)
class Completion:
    """What came back. With `error` set there is no text to score: the sample is an error record.

    Attributes:
        text: The reply, without the thought before it.
        finish_reason: Why it ended.
        prompt_tokens: Tokens read; None where the backend does not say.
        completion_tokens: Tokens generated, the one that ended the reply included; None where the backend does not say.
        error: Why there is no reply.
        tokens: The reply's token ids, where the backend knows them.
        thought: What the model thought before it replied; None where it did not.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    tokens: tuple[int, ...] = ()
    thought: str | None = None

    def __post_init__(self) -> None:
        mend(self, "text", "thought")  # a reply cut in the middle of a character must not stop its cell
        mend_reason(self, "error")

    @property
    def no_reply(self) -> str | None:
        """Why there is no reply; None where there is one, even an empty one."""
        return _no_reply(self)


@dataclass(frozen=True)
class OptionsRequest:
    """Log-likelihoods of `options` as the assistant's reply to `messages`, under the same steering as generation.

    Attributes:
        source: See `Request`.
        messages: The prompt.
        options: Texts to score.
        edits: What is done inside the model.
        tokens: Token ids of each option as they were generated, where they are known. They are scored where the text,
            encoded anew, is too long for the model: words that a collapsed reply is made of may take more tokens then.
            Not part of the key, since text and model say when that is.
        declined: See `Request`.
        as_text: See `Request`; prompt and option are encoded as one text. Without a message, each option is a whole
            text, read from the model's first token on and in windows where it is longer than the model's context.
    """

    source: str
    messages: tuple[Message, ...]
    options: tuple[str, ...]
    edits: tuple[Edit, ...] = ()
    tokens: tuple[tuple[int, ...], ...] = ()
    declined: str | None = None
    as_text: bool = False

    @cached_property
    def key(self) -> str:
        """Content key: of all that can change the scores, and of nothing else."""
        return content_key(
            "options",
            source=self.source,
            messages=[message.as_dict() for message in self.messages],
            options=self.options,
            edits=_edit_keys(self.edits, self.declined),
            **({"as_text": True} if self.as_text else {}),
        )


@dataclass(frozen=True)
class OptionScores:
    """Log-likelihoods of options, in the order of the request.

    Attributes:
        logprobs: Summed over the tokens of each option, in nats.
        tokens: Number of tokens of each option.
        error: Why there are none; None where there are.
        greedy: Whether each option is what the model would say by greedy decoding; empty where that is not known.
    """

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    error: str | None = None
    greedy: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        mend_reason(self, "error")

    def per_token(self) -> tuple[float, ...]:
        """Mean log-likelihood per token, in nats; an empty option scores 0 tokens and -inf."""
        return tuple(
            logprob / count if count else float("-inf")
            for logprob, count in zip(self.logprobs, self.tokens, strict=True)
        )

    def likeliest(self) -> tuple[int | None, str | None]:
        """Index of the option with the highest log-likelihood per token; or None, and why that cannot be told.

        NaN compares as nothing: the first option would be the likeliest of a broken model's.
        """
        if self.error is not None:
            return None, self.error
        if not self.logprobs:
            return None, "no log-likelihoods"
        if not all(map(math.isfinite, self.logprobs)):
            return None, "the log-likelihood is not a finite number"
        per_token = self.per_token()
        return per_token.index(max(per_token)), None


@dataclass(frozen=True)
class Score:
    """A score in [1, 5], or missing with the reason. There is no default and no third case.

    Attributes:
        value: The score; None where it is missing.
        missing: Why there is none; None where there is one.
    """

    value: float | None
    missing: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.missing is None):
            raise ValueError("a score has either a value or a reason why it is missing")
        if self.value is not None and not 1 <= self.value <= 5:
            raise ValueError(f"a score is between 1 and 5, not {self.value}; an unusable one is missing, with a reason")
        mend_reason(self, "missing")


@dataclass(frozen=True)
class JudgeRequest:
    """What a judge gets to see: never the method, the strength or the steering.

    Attributes:
        query: The behaviour asked for.
        rubric: How it is to be scored.
        question: What the model was asked.
        response: What is judged.
    """

    query: str
    rubric: str
    question: str
    response: str

    def __post_init__(self) -> None:
        mend(self, "query", "rubric", "question", "response")


@dataclass(frozen=True)
class Judgement:
    """Behaviour and coherence of one response, as one judge sees them.

    Attributes:
        behaviour: 1 to 5, or missing.
        coherence: 1 to 5, or missing.
        analysis: The judge's own words or numbers, for a person to read.
        cost_usd: In US dollars; None where unknown.
        transient: The judge was not reached (network, rate limit, key), so asking again may well give scores; such a
            judgement is not worth storing. A judge that answered, however badly, has given a lasting judgement.
    """

    behaviour: Score
    coherence: Score
    analysis: str = ""
    cost_usd: float | None = None
    transient: bool = False

    def __post_init__(self) -> None:
        mend(self, "analysis")


@dataclass(frozen=True)
class Answer:
    """What a reply settles on, or why that cannot be told.

    Attributes:
        choice: Index into `Item.options`; None where unparsed, or where the item has no options.
        unparsed: The reason; None where there is an answer.
        text: The answer itself, of an item without options; None where it is a choice or unparsed.
        right: Whether `text` is right, as the task compares; None without `text`, or where no right answer is known.
    """

    choice: int | None
    unparsed: str | None = None
    text: str | None = None
    right: bool | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.choice, self.text, self.unparsed)) != 1:
            raise ValueError("an answer is either a choice, or a text, or unparsed with a reason")
        if self.right is not None and self.text is None:
            raise ValueError("only an answer in words says itself whether it is right; a choice is compared with gold")


@dataclass(frozen=True)
class Item:
    """One question of a task. Open-ended items have no options and no gold answer.

    Attributes:
        id: Names the item, whatever its place in a sample.
        question: As put to the model, without the options; the last turn of a conversation.
        subject: What it is about; empty = not told.
        options: Answers to choose from.
        gold: Index of the right one; None where there is none, or it is not known.
        turns: What was said before the question; a system message joins the task's own.
        reference: Right answers in words, of an item without options; any of them will do.
    """

    id: str
    question: str
    subject: str = ""
    options: tuple[str, ...] = ()
    gold: int | None = None
    turns: tuple[Message, ...] = ()
    reference: tuple[str, ...] = ()

    @property
    def gold_text(self) -> str | None:
        """The right answer in words; None where there is none, or it is not known."""
        if self.gold is not None:
            return self.options[self.gold]
        return " | ".join(self.reference) or None

    @property
    def asked(self) -> str:
        """The question with the conversation before it, as a transcript: what a judge is shown."""
        return transcript((*self.turns, Message("user", self.question))) if self.turns else self.question

    def __post_init__(self) -> None:
        mend(self, "id", "question", "subject")
        object.__setattr__(self, "options", tuple(map(encodable, self.options)))
        if self.gold is not None and not 0 <= self.gold < len(self.options):
            raise ValueError(f"item {self.id}: gold {self.gold} is not an index into its {len(self.options)} options")


@dataclass(frozen=True)
class Query:
    """One steering query.

    Attributes:
        text: The behaviour asked for ("be funny").
        rubric: What it is judged by.
    """

    text: str
    rubric: str

    def __post_init__(self) -> None:
        mend(self, "text", "rubric")


@dataclass(frozen=True, slots=True)  # a sweep has millions
class Record:
    """One sample: (model, method, strength, query, item, epoch), its generation and all that is known of it.

    The columns of samples.parquet, whose meanings `mindgap.results.files` lists; beside them one column a measure.

    Attributes:
        measures: Values by the measure's name. A measure that does not apply to the sample is not there.
    """

    key: str
    model: str
    method: str
    strength: str
    dose: float | None
    query: str
    item: str
    subject: str
    epoch: int
    system_prompt: str
    prompt: str
    response: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None
    gold: str | None
    answer: str | None
    unparsed: str | None
    correct: bool | None
    loglik_answer: str | None
    loglik_correct: bool | None
    option_logprobs: tuple[float, ...]
    judge: str
    behaviour: float | None
    behaviour_missing: str | None
    coherence: float | None
    coherence_missing: str | None
    analysis: str
    perplexity: float | None
    perplexity_missing: str | None
    edits: tuple[str, ...] = ()
    loglik_missing: str | None = None
    thought: str | None = None
    turns: str = ""
    measures: Mapping[str, Value] = field(default_factory=dict)

    @property
    def no_reply(self) -> str | None:
        """Why there is no reply; None where there is one, even an empty one."""
        return _no_reply(self)


def _no_reply(sample: Completion | Record) -> str | None:
    if sample.finish_reason == "unasked":
        return UNASKED
    return UNFINISHED_THOUGHT if sample.finish_reason == "thought" else sample.error
