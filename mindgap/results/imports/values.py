"""What a recorded value says: as a text, a conversation, options. What cannot be told is refused, never guessed."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mindgap.core.characters import encodable
from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, transcript

_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "ai": "assistant", "developer": "system"}
_LIST = re.compile(r"\s*[\[{]")


def is_absent(value: Any) -> bool:
    """Whether there is no value; NaN is how data frames say so."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any, where: str) -> str | None:
    """A value as the text it would be in a CSV; None where there is none. A list of one value is that value.

    Args:
        value: As the file has it.
        where: For messages: the row, the map's key and the column.

    Raises:
        ConfigError: It is a list of several values, or an object.
    """
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if is_absent(value) or value == [] or value == {}:
        return None
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list | tuple):
        raise ConfigError(f"{where} holds a list of {len(value)} values: say which, by its place ({_of(where)}.0)")
    if isinstance(value, Mapping):
        raise ConfigError(
            f"{where} holds an object: name a key inside it ({_of(where)}.KEY). There are: {', '.join(map(str, value))}"
        )
    return encodable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _of(where: str) -> str:
    return where.rpartition(": ")[2]


def messages_of(value: Any) -> tuple[Message, ...] | None:
    """The conversation that a value is: a list of messages with a role each, or the text of one; None if it is none."""
    if isinstance(value, str) and _LIST.match(value) and ("role" in value or "from" in value):
        value = _parsed(value)
    if isinstance(value, Mapping) and set(value) & {"role", "from"}:
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(entry, Mapping) for entry in value):
        return None
    messages = []
    for entry in value:
        role, content = entry.get("role", entry.get("from")), entry.get("content", entry.get("value"))
        role = _ROLES.get(str(role).lower(), str(role).lower())
        text = _content(content)
        if role not in ("system", "user", "assistant") or text is None:
            return None
        messages.append(Message(role, encodable(text)))  # type: ignore[arg-type]  # checked above
    return tuple(messages)


def _content(content: Any) -> str | None:
    """A message's text; the texts of its parts where it has parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, str | Mapping) for part in content):
        return None
    return "\n".join(part if isinstance(part, str) else str(part.get("text") or "") for part in content).strip("\n")


def prompt_of(value: Any, where: str) -> tuple[str, str]:
    """The system prompt, empty where there is none, and what the model was asked: a transcript if several turns."""
    messages = messages_of(value)
    if messages is None:
        return "", text_of(value, where) or ""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    turns = [message for message in messages if message.role != "system"]
    return system, turns[0].content if len(turns) == 1 else transcript(turns)


def response_of(value: Any, where: str) -> str:
    """The reply; of a conversation, its last message, which must be the model's."""
    messages = messages_of(value)
    if messages is None:
        return text_of(value, where) or ""
    if messages[-1].role != "assistant":
        raise ConfigError(f"{where} holds a conversation that does not end with the model's reply")
    return messages[-1].content


def options_of(value: Any, where: str) -> tuple[str, ...]:
    """The options that a value lists, in order: a list, a mapping from letters, or the text of either.

    Raises:
        ConfigError: It is neither.
    """
    if is_absent(value):
        return ()
    if isinstance(value, str):
        value = _parsed(value) if _LIST.match(value) else value
    if isinstance(value, Mapping):
        letters = sorted(value)
        if all(re.fullmatch(r"[A-Za-z]", str(letter)) for letter in letters):
            value = [value[letter] for letter in letters if not is_absent(value[letter])]
        elif isinstance(value.get("text"), list):  # {"label": ["A", …], "text": [ … ]}, as ARC has it
            value = value["text"]
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise ConfigError(f"{where} holds no list of options: {str(value)[:60]!r}")
    return tuple(text_of(option, f"{where}, option {place}") or "" for place, option in enumerate(value, 1))


def numbers_of(value: Any, where: str) -> tuple[float, ...]:
    """Log-probabilities by option: numbers, or lists that begin with the number (lm-evaluation-harness)."""
    if is_absent(value):
        return ()
    if isinstance(value, str) and _LIST.match(value):
        value = _parsed(value)
    try:
        firsts = [entry[0] if isinstance(entry, list | tuple) else entry for entry in value]
        return tuple(float(number) for number in firsts)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"{where} holds no list of log-probabilities: {str(value)[:60]!r}") from error


def _parsed(text: str) -> Any:
    """What the text of a list or an object says, in JSON or as Python prints it; the text itself where neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def looked_up(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or inside one: `scores.behaviour`, `choices.0.text`, `arguments.*.arg_1` for all of them.

    None where there is nothing.
    """
    if path in row:
        return row[path]
    head, rest = _split(row, path)
    value: Any = row.get(head)
    if isinstance(value, str) and rest and _LIST.match(value):
        value = _parsed(value)  # a CSV holds lists and objects as texts
    return _inside(value, rest)


def _inside(value: Any, path: list[str]) -> Any:
    for place, part in enumerate(path):
        if part == "*" and isinstance(value, Mapping | list | tuple):
            all_of_them = value.values() if isinstance(value, Mapping) else value
            return [_inside(one, path[place + 1 :]) for one in all_of_them]
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str) and re.fullmatch(r"-?\d{1,6}", part):
            place = int(part)
            value = value[place] if -len(value) <= place < len(value) else None
        else:
            return None
    return value


def head_of(columns: Sequence[str], path: str) -> str | None:
    """The column that a path begins with; None if the recording has none such."""
    if path in columns:
        return path
    head, _ = _split(dict.fromkeys(columns), path)
    return head if head in columns else None


def _split(columns: Mapping[str, Any], path: str) -> tuple[str, list[str]]:
    """The longest column that the path begins with, and the rest of it: columns may have dots themselves."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        if (head := ".".join(parts[:end])) in columns:
            return head, parts[end:]
    return parts[0], parts[1:]
