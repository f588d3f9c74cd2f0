"""Chat templates of the kinds that models come with, written for the tests."""

from __future__ import annotations

import copy
from typing import Any

PHI3 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '<|user|>\\n' + message['content'] + '<|end|>\\n<|assistant|>\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + '<|end|>\\n' }}{% endif %}{% endfor %}"
)
"""Knows no system messages and leaves them out without a word."""

MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user and assistant') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}{% endfor %}"
)
"""Refuses system messages, and roles that do not alternate."""

LLAMA3 = (
    "{% for message in messages %}{{ (bos_token if loop.first else '') + '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
"""Takes everything, and trims it."""

PARTS = (
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}"
    "{% endfor %}{{ '<end>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""Of a model of vision and text: contents are lists of parts."""

QWEN3 = (
    "{% for message in messages %}{% set content = message.content %}"
    "{% if message.role == 'assistant' and '</think>' in content %}"
    "{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "{{ '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)
"""Thinks unless told not to; with thinking off it writes an empty thought."""

GLM = (
    "{% for message in messages %}{{ '<|' + message.role + '|>\\n' + message.content }}"
    "{{ '/nothink' if message.role == 'user' and enable_thinking is defined and not enable_thinking else '' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}"
    "{{ '\\n<think></think>' if enable_thinking is defined and not enable_thinking else '' }}{% endif %}"
)
"""Tells the user's message, too, that thinking is off."""

DEEPSEEK_V3 = (
    "{% if not thinking is defined %}{% set thinking = enable_thinking if enable_thinking is defined else false %}"
    "{% endif %}{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '<|User|>' + message['content'] }}"
    "{% else %}{{ '<|Assistant|></think>' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|>' + ('<think>' if thinking else '</think>') }}{% endif %}"
)
"""Opens a thought or closes it, and knows the switch by two names."""

GEMMA4 = (
    "{{ bos_token }}{% if enable_thinking is defined and enable_thinking %}{{ '<|turn>system\\n<|think|><turn|>\\n' }}"
    "{% endif %}{% for message in messages %}{{ '<|turn>' + message['role'] + '\\n' + message['content'] | trim + "
    "'<turn|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|turn>model\\n' }}"
    "{% if not enable_thinking | default(false) %}{{ '<|channel>thought\\n<channel|>' }}{% endif %}{% endif %}"
)
"""Marks thoughts in its own way."""

DEEPSEEK_R1 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '<|User|>' + message['content'] }}"
    "{% else %}{{ '<|Assistant|>' + message['content'].split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"
)
"""Always thinks: the prompt itself opens the thought."""


def chat_of(tokenizer: Any, template: str | None, **settings: Any) -> Any:
    """The `Chat` of a tokenizer that has this template instead of its own, with settings of the template."""
    from mindgap.backends.local.chat import Chat

    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template
    return Chat(tokenizer, settings)
