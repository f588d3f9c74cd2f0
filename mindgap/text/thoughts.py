"""What a model says, and what it thought before: told apart by the marks that models put around their thoughts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Marks:
    """How a family of models marks a thought.

    Attributes:
        open: Before it.
        close: After it: the reply follows.
        ahead: What may stand between the thought and `close`, and belongs to neither.
        empty: A thought without words, as such a model would write it.
    """

    open: str
    close: str
    empty: str
    ahead: str = ""


THINK = Marks("<think>", "</think>", "<think>\n\n</think>\n\n")
"""DeepSeek-R1, Qwen3, GLM-4.5, SmolLM3, Phi-4-reasoning and most others."""

MARKS = (
    THINK,
    Marks("<seed:think>", "</seed:think>", "<seed:think></seed:think>"),  # Seed-OSS
    Marks("[THINK]", "[/THINK]", "[THINK][/THINK]"),  # Magistral
    Marks("◁think▷", "◁/think▷", "◁think▷◁/think▷"),  # Kimi-VL
    Marks("<|channel>thought\n", "<channel|>", "<|channel>thought\n<channel|>"),  # Gemma 4
    Marks(  # gpt-oss
        "<|channel|>analysis<|message|>",
        "<|channel|>final<|message|>",
        "<|channel|>final<|message|>",
        "<|end|><|start|>assistant",
    ),
)


@dataclass(frozen=True)
class Parted:
    """A reply and the thought before it.

    Attributes:
        thought: None where the model did not think.
        reply: What it says after that; empty where the thought never ended.
        ended: Whether the thought came to its end; True where there is none.
    """

    thought: str | None
    reply: str
    ended: bool = True


def marks_in(text: str) -> Marks | None:
    """The marks that a chat template speaks of; None for one of a model that does not think."""
    return next((marks for marks in MARKS if marks.close in text), None)


def part(text: str, marks: Marks = THINK, *, opened: bool = False) -> Parted:
    """Part what a model wrote.

    A thought stands at the beginning. It is one if its mark stands before it, or if the prompt held that mark already
    (`opened`), or if its end is marked and the beginning is not, for then the prompt must have held it. Marks further
    on are words like others.

    Args:
        text: All that the model wrote.
        marks: How it marks its thoughts.
        opened: Whether the prompt ends inside a thought.
    """
    begins = text.lstrip().startswith(marks.open)
    thought, close, reply = text.partition(marks.close)
    if close and (begins or opened or marks.open not in thought):
        return Parted(_words(thought, marks), reply.strip())
    if begins or (opened and not close):
        return Parted(_words(text, marks), "", ended=False)
    return Parted(None, text)


def _words(thought: str, marks: Marks) -> str | None:
    """The thought without marks; None where it has no words."""
    return thought.strip().removeprefix(marks.open.strip()).removesuffix(marks.ahead).strip() or None
