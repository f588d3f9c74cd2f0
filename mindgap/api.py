"""What a notebook needs: run a study, read one, steer a model.

import mindgap

sweep = mindgap.run({"method": ["control", "prompt"], "task.limit": 4})
sweep.headline
sweep.plot.tradeoff()
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mindgap.core.compose import literal, written
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.notebook.sweep import Sweep

if TYPE_CHECKING:
    from mindgap.backends.base import Endpoint
    from mindgap.core.edits import Edit
    from mindgap.core.records import Query, Request
    from mindgap.study.experiment import Experiment
    from mindgap.study.plan import QuerySteering


def run(
    overrides: Sequence[str] | Mapping[str, Any] = (), *, config_dir: str | Path | None = None, quiet: bool = False
) -> Sweep:
    """Run a study in this process, as `python -m mindgap … -m` does, and read what it left.

    What the store knows is not made again; a study that was stopped goes on where it was. All files are written as
    always.

    Args:
        overrides: Settings by name, where a list is the values to sweep over: `{"method": ["control", "prompt"],
            "task.limit": 4}`. A text is read as on the command line; a value that is itself a list is a list in a list.
            Or a list of texts, as on the command line: `["method=control,prompt", "task.limit=4"]`.
        config_dir: A folder of YAML files of your own.
        quiet: Print nothing.

    Returns:
        The sweep. A cell that failed is in it, with its reason.

    Raises:
        ConfigError: A setting cannot be right; nothing has been spent then.
        UnavailableError: This machine lacks something; likewise.
    """
    from mindgap.cli.console import console_for
    from mindgap.study.jobs import jobs_of
    from mindgap.study.sweep import run_sweep

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    jobs = jobs_of(_texts(overrides), _folder(config_dir), sweep=datetime.now().strftime("%Y%m%d-%H%M%S-%f"))
    if any(job["plan"] for job in jobs):
        raise ConfigError("plan=true says what would run and runs nothing: leave it out, or use the command line")
    asked = dict(overrides) if isinstance(overrides, Mapping) else list(overrides)
    beside = "" if config_dir is None else f", config_dir={str(config_dir)!r}"
    results = run_sweep(jobs, console_for(quiet=quiet), f"mindgap.run({asked!r}{beside})")
    assert results is not None, "only a plan has no results"
    return Sweep(results)


def load(folder: str | Path) -> Sweep:
    """Read a finished sweep from its folder.

    Args:
        folder: `outputs/<sweep>`.

    Returns:
        The sweep.

    Raises:
        MindgapError: The folder holds no sweep; the message says what it is instead.
    """
    from mindgap.results.sweep import read_sweep

    return Sweep(read_sweep(Path(folder).expanduser()))


def steer(
    model: str = "tiny",
    method: str = "autosteer",
    query: str = "be funny",
    *,
    strength: float | None = None,
    config_dir: str | Path | None = None,
    **overrides: Any,
) -> Steered:
    """A model that is made to behave by a method, to talk to.

    Edits are made as in a study, when they are first needed, and kept in the same store.

    Args:
        model: An option of the group `model`.
        method: An option of the group `method`.
        query: The behaviour, in words that "please …" can stand before.
        strength: Relative dose: the norm of what is added over the median norm of the residual stream there; 0 = no
            steering, negative = the other way. None = as the method makes it.
        config_dir: A folder of YAML files of your own.
        **overrides: Further settings, one value each: `backend="litellm"`, and `backend__device="cpu"` for
            `backend.device`.

    Returns:
        The model under this method; nothing is loaded yet.

    Raises:
        ConfigError: There is no such model, method or setting, or a strength where nothing is steered.
        UnavailableError: The model cannot run here, or cannot do what the method needs.
    """
    from mindgap.study.check import check
    from mindgap.study.experiment import build_experiment
    from mindgap.study.jobs import jobs_of

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings = {"model": model, "method": method, "judge": "proxy", "tracker": "none"}
    settings |= {key.replace("__", "."): value for key, value in overrides.items()}
    texts = [f"{key}={literal(key, value)}" for key, value in settings.items()]
    (node,) = jobs_of(texts, _folder(config_dir))
    node["query_set"] = {**node["query_set"], "name": "asked", "queries": [query]}
    if strength is not None:
        node["strength"] = {"_target_": "mindgap.steering.strength.Dose", "dose": strength}
    experiment = build_experiment(node)
    if strength is not None and not experiment.method.steers:
        raise ConfigError(f"strength={strength:g}: method={method} steers nothing inside the model; leave it out")
    check([experiment])
    return Steered(experiment)


class Steered:
    """A model under one method and query, made by `mindgap.steer`: call it with a prompt, or with several.

    `print(steered("What is tea?"))`, and `steered.unsteered("What is tea?")` beside it.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment

    @overload
    def __call__(
        self, prompt: str, *, max_tokens: int = ..., temperature: float = ..., seed: int | None = ...
    ) -> str: ...
    @overload
    def __call__(
        self, prompt: list[str], *, max_tokens: int = ..., temperature: float = ..., seed: int | None = ...
    ) -> list[str]: ...
    def __call__(
        self, prompt: str | list[str], *, max_tokens: int = 64, temperature: float = 0.0, seed: int | None = None
    ) -> str | list[str]:
        """The steered reply to a prompt, or to each of several, which share a batch.

        Args:
            prompt: What the model is asked.
            max_tokens: Longest reply, in tokens.
            temperature: 0 = always the most likely token.
            seed: Of the sampling, where there is a temperature: another one gives another reply. None = the study's.

        Raises:
            ConfigError: Settings that cannot be right.
            UnavailableError: The model gave no reply; the message says why.
        """
        return self._replies(prompt, max_tokens, temperature, seed, steered=True)

    @overload
    def unsteered(
        self, prompt: str, *, max_tokens: int = ..., temperature: float = ..., seed: int | None = ...
    ) -> str: ...
    @overload
    def unsteered(
        self, prompt: list[str], *, max_tokens: int = ..., temperature: float = ..., seed: int | None = ...
    ) -> list[str]: ...
    def unsteered(
        self, prompt: str | list[str], *, max_tokens: int = 64, temperature: float = 0.0, seed: int | None = None
    ) -> str | list[str]:
        """The reply of the model as it is, without instruction and edits; see `__call__`."""
        return self._replies(prompt, max_tokens, temperature, seed, steered=False)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What is done inside the model; none for a method that only asks. `print` them: each says what it is."""
        return self._steering.edits

    @property
    def dose(self) -> float | None:
        """Relative dose of the edits, dimensionless; None for a method that only asks."""
        return self._steering.dose

    @property
    def query(self) -> Query:
        """The behaviour."""
        return self._experiment.query_set.queries[0]

    @cached_property
    def _endpoint(self) -> Endpoint:
        return self._experiment.backend.open(self._experiment.model)

    @cached_property
    def _steering(self) -> QuerySteering:
        from mindgap.storage.store import Store
        from mindgap.study.plan import steer as edits_by_query

        store = Store(self._experiment.store)
        try:
            (steering,) = edits_by_query(self._experiment, self._endpoint, store)
        finally:
            store.close()
        if steering.declined is not None:
            raise ConfigError(steering.declined)
        return steering

    def _request(self, prompt: str, max_tokens: int, temperature: float, seed: int | None, *, steered: bool) -> Request:
        from mindgap.core.records import Decoding, Message, Request

        try:
            decoding = Decoding(max_tokens, temperature)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        messages: tuple[Message, ...] = (Message("user", prompt),)
        if steered:
            messages = self._experiment.method.messages(messages, self.query, asked=self._steering.asked)
        own_seed = self._experiment.seed if seed is None else seed
        return Request(self._endpoint.identity, messages, decoding, own_seed, self.edits if steered else ())

    def _replies(
        self, prompt: str | list[str], max_tokens: int, temperature: float, seed: int | None, *, steered: bool
    ) -> str | list[str]:
        from mindgap.backends.fetch import completions
        from mindgap.storage.store import Store

        prompts = [prompt] if isinstance(prompt, str) else prompt
        requests = [self._request(text, max_tokens, temperature, seed, steered=steered) for text in prompts]
        store = Store(self._experiment.store)
        try:
            replies = completions(requests, self._endpoint, store)
        finally:
            store.close()
        for request in requests:
            if (error := replies[request.key].no_reply) is not None:
                raise UnavailableError(f"there is no reply: {error}")
        texts = [replies[request.key].text for request in requests]
        return texts[0] if isinstance(prompt, str) else texts

    def __repr__(self) -> str:
        return f"<mindgap.Steered {self._experiment.model.name} by {self._experiment.method.name}: {self.query.text}>"


def _texts(overrides: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Overrides as on the command line. Raises ConfigError for what is often given instead."""
    if isinstance(overrides, Mapping):
        return written(overrides)
    if isinstance(overrides, str):
        raise ConfigError(f"give a list of settings, [{overrides!r}], or a dictionary")
    for text in overrides:
        if text.startswith("-"):
            raise ConfigError(f"{text}: flags have no place here. Several values make a sweep without -m; config_dir=…")
    return list(overrides)


def _folder(config_dir: str | Path | None) -> Path | None:
    if config_dir is None:
        return None
    folder = Path(config_dir).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"config_dir={config_dir}: there is no such folder")
    return folder
