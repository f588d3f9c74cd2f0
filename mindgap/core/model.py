"""A model and what each backend calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mindgap.core.errors import ConfigError

EMBEDDED = ("SmolLM2-135M-Instruct", "gemma-3-270m")
"""Models that travel in packages."""


@dataclass(frozen=True)
class ModelSpec:
    """One model, and what each backend calls it (`conf/model/*.yaml`).

    name: short name, used in folders and tables.
    hf_id: Hugging Face id or local folder for `backend=local`; null if it has none.
    revision: hub revision of `hf_id`; part of every content key.
    trust_remote_code: run the code that comes with `hf_id`; part of every content key.
    adapter: a PEFT adapter that is loaded onto it: a folder, or an id of the hub; null = none. Cells that differ in it
        are compared with each other.
    embedded: the model travels in an installed package; `hf_id` is then ignored.
    embedded_name: which of the models that travel so.
    litellm_id: the name litellm knows it by, for `backend=litellm`.
    goodfire_id: the name Goodfire's API knows it by, for `backend=goodfire`.
    sae: release of a sparse autoencoder for it; null if there is none.
    parameters_b: size in billions of parameters, to estimate memory before loading.
    option_scoring: how options of an item are scored by log-likelihood.
    template: settings of the chat template, by the names it gives them, null = its own; part of every content key.
    """

    name: str
    hf_id: str | None = None
    revision: str | None = None
    embedded: bool = False
    litellm_id: str | None = None
    goodfire_id: str | None = None
    sae: str | None = None
    parameters_b: float | None = None
    option_scoring: str = "continuation"
    trust_remote_code: bool = False
    embedded_name: str = "SmolLM2-135M-Instruct"
    template: Mapping[str, Any] | None = field(default=None, hash=False)
    adapter: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("model.name is empty: give the model a short name, it is used in folders and tables")
        if self.embedded and self.embedded_name not in EMBEDDED:
            raise ConfigError(f"model.embedded_name={self.embedded_name!r}: choose {' or '.join(EMBEDDED)}")
        if self.option_scoring not in ("continuation", "letter", "none"):
            raise ConfigError(f"model.option_scoring={self.option_scoring!r}: choose continuation, letter or none")
