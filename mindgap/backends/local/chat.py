"""From messages to tokens and back, with the model's own chat template."""

from __future__ import annotations

import json
import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from mindgap.backends.local.plain import NEXT_TURNS, SPACE, reply_end, transcript
from mindgap.backends.local.template import THINKING_SWITCHES, settings_of, template_of
from mindgap.backends.local.turns import FORMS, Form, as_data, left_out, markers
from mindgap.core.errors import PromptError, first_line
from mindgap.core.records import Message
from mindgap.text.thoughts import THINK, Parted, marks_in, part

log = logging.getLogger(__name__)

VERSION = 1
"""Part of the content keys of models whose prompts are not simply what the template makes of the messages. Raise it
when such prompts change."""
TAIL = 32
"""Last tokens of a text, in which a mark that it ends with stands: of a thought, or of the next turn."""


class Chat:
    """How a model is spoken to: through its chat template, or in plain labelled turns where it has none.

    In plain turns the reply ends where the next turn would begin, and what is scored begins with a space, so that its
    tokens are those of running text.

    Whatever is said has to stand in the prompt. A template that leaves out or refuses system messages (those of Phi-3
    and Gemma, say) gets their text at the head of the next user message; one that wants contents in parts gets parts.
    How a template takes a conversation is found out by the prompt that it makes of one, once for every order of roles.

    Args:
        tokenizer: The model's.
        settings: Given to the template beside the messages: `model.template`.

    Attributes:
        template: The template's text; None where there is none.
        settings: Likewise, with thinking turned off where the template knows how and nothing else was asked for.
        marks: What the model puts around its thoughts; None where it does not think.

    Raises:
        ConfigError: For a setting that the template does not know.
    """

    def __init__(self, tokenizer: Any, settings: Mapping[str, Any] | None = None) -> None:
        self.tokenizer = tokenizer
        self.template = template_of(tokenizer)
        self.settings = settings_of(self.template, settings or {})
        self.marks = marks_in(self.template) if self.template else None
        self._forms: dict[tuple[str, ...], Form] = {}
        self._said: set[str] = set()

    @cached_property
    def identity(self) -> str:
        """What the prompt depends on beside messages and tokenizer; empty where it is what the template makes alone."""
        settings = json.dumps(self.settings, sort_keys=True) if self.settings else ""
        return "" if self._ordinary and not settings else f"/chat{VERSION}{settings}"

    @property
    def _ordinary(self) -> bool:
        """Whether a prompt is what the template makes of the messages as they are."""
        try:
            plain = self.template is not None and self.marks is None
            return plain and self._form(("system", "user")) == FORMS[0]
        except PromptError:
            return False

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt as text, up to where the assistant's reply begins.

        Raises:
            PromptError: The template does not take these messages, or leaves out what one of them says.
        """
        if self.template is None:
            self._say("the model has no chat template: it is given a transcript, `User: …` and `Assistant:`")
            return transcript(messages)
        form = self._form(tuple(message.role for message in messages))
        try:
            prompt = self._apply(form, messages)
        except _template_errors() as error:
            raise PromptError(
                f"the model's chat template does not take these messages: {first_line(error, 200)}"
            ) from error
        if (message := left_out(prompt, messages)) is not None:
            raise PromptError(
                f"the model's chat template leaves out or changes the {message.role} message "
                f"{message.content[:60]!r}: what the model would read is not what was asked"
            )
        return prompt

    @property
    def thinks(self) -> bool:
        """Whether the model would think before it replies, as its template is set."""
        return bool(self._thought_end)

    def prompt(self, messages: Sequence[Message], *, without_thought: bool = False) -> list[int]:
        """Token ids of `render`.

        Args:
            messages: The conversation so far.
            without_thought: Behind the end of a thought, where the model would think: what follows is the reply.

        Raises:
            PromptError: See `render`.
        """
        ids = self.encode(self.render(messages) + (self._thought_end if without_thought else ""))
        if self.template is None and self.tokenizer.bos_token_id is not None:
            ids = [self.tokenizer.bos_token_id, *ids]
        return ids

    def with_replies(self, messages: Sequence[Message], replies: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """Token ids of a prompt and of several replies that may follow it, behind the end of a thought.

        Raises:
            PromptError: See `render`.
        """
        prompt = self.prompt(messages, without_thought=True)
        if self.template is None:
            text = self.render(messages)
            return prompt, [self._continued(text, reply) for reply in replies]
        return prompt, [self.encode(reply) for reply in replies]

    def _continued(self, prompt: str, reply: str) -> list[int]:
        """Token ids of a reply in running text: some tokenizers cut a text otherwise where it begins."""
        if not reply.strip():
            return []
        spoken = f"{SPACE}{reply.lstrip()}"
        before, whole = self.encode(prompt), self.encode(prompt + spoken)
        return whole[len(before) :] if whole[: len(before)] == before else self.encode(spoken)

    @property
    def next_turns(self) -> tuple[str, ...]:
        """Texts at which a reply ends; none where there is a template."""
        return NEXT_TURNS if self.template is None else ()

    def at_next_turn(self, tokens: Sequence[int]) -> bool:
        """Whether what the model wrote has come to the next turn of a transcript; never where there is a template."""
        return self.template is None and reply_end(self._decode(tokens[-TAIL:])) is not None

    def read(self, prompt: Sequence[int], tokens: Sequence[int]) -> tuple[Parted, list[int]]:
        """What the model says by `tokens`, and which of them are the reply's.

        Args:
            prompt: What it was given.
            tokens: All that it wrote, without the token that ended it.
        """
        if self.template is None:
            return self._read_transcript(tokens)
        marks = self.marks or THINK
        written = self.tokenizer.decode(tokens)  # marks may be special tokens
        opened = self.marks is not None and self._inside_thought(self.tokenizer.decode(prompt[-TAIL:]))
        parted = part(written, marks, opened=opened)
        if parted.reply == written or (self.marks is None and not written.lstrip().startswith(marks.open)):
            return Parted(None, self._decode(tokens)), list(tokens)
        if not parted.ended:
            return parted, []
        start = bisect_left(
            range(len(tokens)), True, key=lambda end: marks.close in self.tokenizer.decode(tokens[:end])
        )
        head = self.tokenizer.decode(tokens[:start]).partition(marks.close)[2]
        reply = f"{head}{self._decode(tokens[start:])}".strip()
        return Parted(parted.thought, reply), list(tokens[start:])

    def _read_transcript(self, tokens: Sequence[int]) -> tuple[Parted, list[int]]:
        """The reply up to the next turn, without the space before it."""
        text = self._decode(tokens)
        end = reply_end(text)
        if end is None:
            return Parted(None, text.strip()), list(tokens)
        last = bisect_left(range(len(tokens)), end, key=lambda count: len(self._decode(tokens[:count])))
        return Parted(None, text[:end].strip()), list(tokens[:last])

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _inside_thought(self, prompt: str) -> bool:
        return self.marks is not None and prompt.rstrip().endswith(self.marks.open.rstrip())

    @cached_property
    def _thought_end(self) -> str:
        """What has to follow a prompt for the reply to begin: the end of a thought, or a thought without words.

        A template that can turn thinking off writes it itself then.
        """
        if self.marks is None or any(self.settings.get(name) is False for name in THINKING_SWITCHES):
            return ""
        ending = self._ending()
        if ending.rstrip().endswith(self.marks.close):
            return ""
        for name in THINKING_SWITCHES:
            off = self._ending({name: False}) if name in self.settings else ""
            _, begun, rest = off.rpartition(ending) if ending else ("", "", "")
            if begun and self.marks.close in rest:
                return rest
        if not self._inside_thought(ending):
            return self.marks.empty
        return f"\n{self.marks.close}\n\n" if ending.endswith("\n") else self.marks.close

    def _ending(self, settings: Mapping[str, Any] | None = None) -> str:
        """What the template writes after a user's message; empty where it takes none."""
        asked = markers(["user"])
        try:
            form = self._form(("user",))
        except PromptError:
            return ""
        try:
            prompt = self._apply(form, asked, settings)
        except _template_errors():
            return ""
        return prompt.rpartition(asked[0].content)[2]

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text; the template has put special tokens in, the tokenizer adds none."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _form(self, roles: tuple[str, ...]) -> Form:
        """The form in which the template lets all messages of a conversation of these roles through."""
        if roles in self._forms:
            return self._forms[roles]
        reasons: list[str] = []
        for form in FORMS:
            try:
                prompt = self._apply(form, markers(roles))
            except _template_errors() as error:
                reasons.append(first_line(error, 200))
                continue
            message = left_out(prompt, markers(roles))
            if message is not None:
                reasons.append(f"it leaves out {message.role} messages")
            elif not (form.parts and as_data(prompt, markers(roles))):
                if form.merged:
                    self._say(
                        "the model's chat template takes no system messages here "
                        f"({reasons[0]}): their text is put at the head of the user's message"
                    )
                self._forms[roles] = form
                return form
        spoken = ", ".join(roles) or "no messages"
        raise PromptError(f"the model's chat template does not take a conversation of {spoken}: {reasons[0]}")

    def _apply(self, form: Form, messages: Sequence[Message], settings: Mapping[str, Any] | None = None) -> str:
        text: str = self.tokenizer.apply_chat_template(
            form.turns(messages), tokenize=False, add_generation_prompt=True, **{**self.settings, **(settings or {})}
        )
        return text

    def _say(self, text: str) -> None:
        """Warn once."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)


def _template_errors() -> tuple[type[Exception], ...]:
    """What rendering raises where a template refuses its messages, or stumbles over their form."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError, LookupError, AttributeError)
