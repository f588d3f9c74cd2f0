"""Settings of training a sparse autoencoder. Imports no torch, so that help and mistakes are answered at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mindgap.core.build import build
from mindgap.core.errors import ConfigError


@dataclass(frozen=True)
class FitSettings:
    """How the autoencoder is fitted.

    Attributes:
        features: How many features it has.
        k: How many of them are active at a token, on average.
        epochs: Passes over the tokens.
        batch: Tokens a step.
        learning_rate: Of Adam; linear warm-up over the first 2 %, linear decay over the last 20 %.
        check_every: Steps between two looks for dead features, which start anew on badly explained tokens (Bricken et
            al. 2023) until 60 % of the run is done.
        seed: Of initial directions and the order of tokens.
    """

    features: int = 4096
    k: int = 32
    epochs: int = 6
    batch: int = 2048
    learning_rate: float = 8e-4
    check_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("features", "k", "epochs", "batch", "check_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.k >= self.features:
            raise ConfigError(f"k={self.k} must be smaller than features={self.features}")


@dataclass(frozen=True)
class TrainSettings:
    """What `python -m mindgap.training.train` sets, the settings of the fit among them.

    Attributes:
        layer: Block whose output is read.
        out: Folder that everything goes to.
        texts: Replies that the model writes.
        max_tokens: Longest reply, in tokens.
        data: Files of more text, with commas between them.
        held_out: Share of texts kept for measuring.
        fit: How the autoencoder is fitted; its seed is also that of the texts.
    """

    layer: int = 11
    out: str = "outputs/sae/tiny"
    texts: int = 1900
    max_tokens: int = 72
    data: str = ""
    held_out: float = 0.05
    fit: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 0.5:
            raise ConfigError(f"held_out={self.held_out}: must be between 0 and 0.5")
        if self.texts < 0 or self.max_tokens < 1:
            raise ConfigError("texts must be at least 0, and max_tokens at least 1")
        if not self.texts and not self.data:
            raise ConfigError("texts=0 and no data: there is nothing to train on")

    @property
    def files(self) -> list[Path]:
        """The files of `data`."""
        return [Path(name) for name in self.data.split(",") if name]

    @staticmethod
    def names() -> tuple[str, ...]:
        """Every setting, as it is written on the command line."""
        own = [setting.name for setting in fields(TrainSettings) if setting.name != "fit"]
        return (*own, *(setting.name for setting in fields(FitSettings)))

    def shown(self) -> dict[str, Any]:
        """Every setting by its name on the command line; empty ones are left out."""
        own = {name: getattr(self, name) if hasattr(self, name) else getattr(self.fit, name) for name in self.names()}
        return {name: value for name, value in own.items() if value != ""}

    @staticmethod
    def of(values: Mapping[str, Any]) -> TrainSettings:
        """Settings by name, those of the fit beside the others. Raises ConfigError for one that does not fit."""
        of_fit = {setting.name for setting in fields(FitSettings)}
        fit = build({name: value for name, value in values.items() if name in of_fit}, "", FitSettings)
        own: TrainSettings = build(
            {"fit": fit, **{name: value for name, value in values.items() if name not in of_fit}}, "", TrainSettings
        )
        return own
