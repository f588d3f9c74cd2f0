"""Labels of features: by word statistics, for every live feature, and by an LLM from the same evidence where asked for.

A label has up to four parts: the words at which the feature is active; "near", words that are typical around them; "→",
tokens that its direction clearly promotes; "when asked to", manners under which it is clearly more active.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mindgap.core.errors import ConfigError
from mindgap.core.records import Message
from mindgap.providers.chat import ChatApi, Failure
from mindgap.providers.loop import run_each
from mindgap.sae.catalogue import Catalogue, Context, Feature
from mindgap.sae.words import COMMON, by_context, distinctive, merged, split_words

STATISTICS = "word statistics"
"""`Feature.labeller` of labels that come from here."""
NO_PATTERN = "no clear pattern"
AT_LEAST, NEAR_AT_LEAST = 2, 3
"""A word is told if the feature is active at it, or near it, in so many contexts, or in all where there are fewer."""
CLEAR = 6.0
"""Promoted tokens are told from this z score of the first on; that of a random direction is rarely above 5."""
LEAST_Z = 1.64
"""A word is told from this z score on: one-sided, 5 %."""
PARTS = (3, 3, 3, 2)
"""At most so many words, words near, promoted tokens and manners in a label."""
WORDS = 16
"""Words that are kept of a feature, to search by."""
SAVED_EVERY = 200


def labelled(catalogue: Catalogue) -> Catalogue:
    """`catalogue` with a label by word statistics for every live feature. The same catalogue gets the same labels."""
    seen = [_Seen.of(feature.contexts) for feature in catalogue.each()]
    at, around = Counter[str](), Counter[str]()
    for words_seen in seen:
        at.update(words_seen.activating)
        around.update(words_seen.others)
    labels, words = [], []
    for feature, words_seen in zip(catalogue.each(), seen, strict=True):
        active = _typical(words_seen.activating, at, AT_LEAST, words_seen.count)
        near = _typical(words_seen.others, around, NEAR_AT_LEAST, words_seen.count)
        near = [word for word in near if word not in {*active, *COMMON}]
        labels.append(_label(feature, active, near) if words_seen.count else "")
        words.append(merged([*active, *near], WORDS))
    return catalogue.with_labels(labels, words, [STATISTICS if label else "" for label in labels])


@dataclass(frozen=True)
class _Seen:
    """count: contexts of a feature. activating, others: in how many of them each word is."""

    count: int
    activating: Counter[str]
    others: Counter[str]

    @classmethod
    def of(cls, contexts: Sequence[Context]) -> _Seen:
        split = [split_words(context) for context in contexts]
        return cls(
            len(contexts),
            by_context([activating for activating, _ in split]),
            by_context([others for _, others in split]),
        )


def _typical(counts: Counter[str], background: Counter[str], least: int, contexts: int) -> list[str]:
    """Words that are in enough contexts, and clearly more often than in those of other features; best first."""
    enough = min(least, contexts)
    return [word for word, z in distinctive(counts, background) if counts[word] >= enough and z >= LEAST_Z]


def _label(feature: Feature, active: Sequence[str], near: Sequence[str]) -> str:
    words, around, tokens, manners = PARTS
    whole = re.compile(r"\s[^\W\d_]{3,}")
    promoted = [token.strip() for token in feature.promoted if feature.promotion >= CLEAR and whole.fullmatch(token)]
    parts = [
        ", ".join(merged(active, words)),
        _with("near ", merged([word for word in near if len(word) > 2], around)),
        _with("→ ", merged([token.lower() for token in promoted], tokens)),
        _with("when asked to ", [manner.manner for manner in feature.manners[:manners]], " or "),
    ]
    return " · ".join(part for part in parts if part) or NO_PATTERN


def _with(before: str, words: Sequence[str], between: str = ", ") -> str:
    return before + between.join(words) if words else ""


QUESTION = """\
A feature of a language model's hidden states was recorded. Say in one short phrase (at most eight words) what it \
stands for, so that somebody who looks for it by its meaning finds it. Be specific; name form or tone if that is what \
the contexts share. Reply with the phrase alone.

Contexts, strongest first; the activating token stands between « and »:
{contexts}

Tokens it makes likelier: {promoted}
Words typical of its contexts: {words}
The model was asked to do this where the feature is most active: {manners}"""


@dataclass(frozen=True)
class Labeller:
    """An LLM that puts labels into words. Fields as in conf/judge/llm.yaml; `key_env` names the variable of the key."""

    model: str = "gpt-4o-mini"
    api_base: str | None = None
    key_env: str | None = "OPENAI_API_KEY"
    concurrency: int = 16
    timeout: float = 60.0
    max_retries: int = 5

    def __post_init__(self) -> None:
        from mindgap.providers.chat import check_settings

        check_settings("labeller", self.api_base, self.concurrency, self.timeout, self.max_retries)

    @property
    def api(self) -> ChatApi:
        return ChatApi(self.model, self.api_base, self.key_env, self.timeout, self.max_retries)

    def relabelled(self, catalogue: Catalogue, on_done: Callable[[int, Catalogue | None], None]) -> Catalogue:
        """`catalogue` with a phrase of this LLM for every live feature that has none of its phrases yet.

        A feature it gives no phrase for keeps the label it has. `on_done` is told how many were asked about, and now
        and then gets the catalogue as it stands, to save. Raises ConfigError where it gave no phrase at all.
        """
        labels, labellers = list(catalogue.labels), list(catalogue.table["labeller"].to_pylist())
        words = catalogue.table["words"].to_pylist()
        asked = [i for i in range(catalogue.features) if catalogue.live[i] and labellers[i] != self.api.identity]
        failure: Failure | None = None
        labelled = 0
        prompts = [question(catalogue.feature(index)) for index in asked]
        for done, (place, phrase) in enumerate(run_each(self._ask, prompts, self.concurrency), start=1):
            if isinstance(phrase, Failure):
                failure = phrase
            else:
                labels[asked[place]], labellers[asked[place]] = phrase, self.api.identity
                labelled += 1
            on_done(done, catalogue.with_labels(labels, words, labellers) if done % SAVED_EVERY == 0 else None)
        if failure is not None and not labelled:
            raise ConfigError(f"labeller={self.model} gave no label: {failure.reason}")
        return catalogue.with_labels(labels, words, labellers)

    async def _ask(self, prompt: str) -> str | Failure:
        reply = await self.api.ask([Message("user", prompt)], temperature=0, max_tokens=40)
        if isinstance(reply, Failure):
            return reply
        phrase = " ".join(reply.text.split()).strip("\"'“”.")
        return phrase[:120] if phrase else Failure("an empty reply")


def question(feature: Feature) -> str:
    """What an LLM is asked about a feature."""
    return QUESTION.format(
        contexts="\n".join(f"- {marked(context)}" for context in feature.contexts) or "-",
        promoted=", ".join(token.strip() for token in feature.promoted) or "-",
        words=", ".join(feature.words) or "-",
        manners=", ".join(manner.manner for manner in feature.manners) or "-",
    )


def marked(context: Context) -> str:
    """A context in one line, its strongest token between « and »."""
    pieces = list(context.pieces)
    token = pieces[context.at]
    inner = token.strip() or token.replace("\n", "⏎").replace(" ", "␣")
    pieces[context.at] = f"{' ' if token[:1].isspace() and token.strip() else ''}«{inner}»"
    return "".join(pieces).replace("\n", "⏎").strip()
