"""The documents of a task of lm-evaluation-harness: what is asked about each, and what the answers come to."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError, UnavailableError, did_you_mean, first_line
from mindgap.core.keys import content_key
from mindgap.core.measurement import Declaration, Value
from mindgap.core.records import Completion, Decoding, Item, Message
from mindgap.tasks.harness_metrics import column, declarations_of, item_value
from mindgap.tasks.trials import Generation, Likelihoods, Outcome, Trial

SHOTS_SEED = 1234
"""Of the draws of examples: that of the harness' own command."""
CHAT = "mindgap-chat:"
"""What a prompt begins with that stands for messages, on its way through the harness."""


@dataclass(frozen=True)
class _Document:
    """One document of a task.

    Attributes:
        task: The harness' task.
        document: As the harness has it.
        instances: The harness' requests.
        trials: The same in our terms.
        places: For each instance, its repeats: number of the trial, and of the text where it scores several.
    """

    task: Any
    document: Any
    instances: Sequence[Any]
    trials: tuple[Trial, ...]
    places: tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True)
class Documents:
    """All documents of a task, a group or a tag.

    Attributes:
        items: In the harness' order.
        declarations: Of the metrics of all its tasks.
    """

    items: tuple[Item, ...]
    declarations: tuple[Declaration, ...]
    _documents: Mapping[str, _Document]

    def trials(self, item: Item) -> tuple[Trial, ...]:
        """See `SelfScoring.trials`."""
        return self._documents[item.id].trials

    def score(self, item: Item, outcomes: Sequence[Outcome]) -> dict[str, Value]:
        """See `SelfScoring.score`: what the harness' filters and scorers make of the answers."""
        document = self._documents[item.id]
        task = document.task
        names = [(metric, chain.name) for chain in task._filters for metric in task.aggregation()]
        if failed := next((outcome.error for outcome in outcomes if outcome.error is not None), None):
            return {column(metric, filtered): Value(None, failed) for metric, filtered in names}
        instances = [copy.copy(instance) for instance in document.instances]
        for instance, places in zip(instances, document.places, strict=True):
            instance.resps = [_response(instance, outcomes[trial], text) for trial, text in places]
            instance.filtered_resps = {}
        scores = {}
        for chain in task._filters:
            chain.apply(instances)
            responses = [instance.filtered_resps[chain.name] for instance in instances]
            for metric, value in task.process_results(document.document, responses).items():
                if (metric, chain.name) in names:
                    scores[column(metric, chain.name)] = item_value(task, metric, value)
        return scores


def read_documents(
    name: str,
    *,
    include: str | None,
    shots: int | None,
    chat: bool,
    multiturn: bool,
    metric: str | None,
    max_tokens: int,
) -> Documents:
    """The documents of the harness' task, group or tag of this name; see `HarnessTask` for the arguments.

    Raises:
        ConfigError: There is no such task, or it cannot be run here.
        UnavailableError: Its data cannot be had.
    """
    items: list[Item] = []
    documents: dict[str, _Document] = {}
    tasks = _tasks(name, include)
    for task in tasks:
        _refuse(task)
        if shots is not None and task.get_config("num_fewshot") != 0:
            task.set_config("num_fewshot", shots)
        task.set_fewshot_seed(seed=SHOTS_SEED)
        for item, document in _of_task(task, chat, multiturn, max_tokens):
            subject = task.task_name if len(tasks) > 1 else ""
            item = replace(item, subject=subject, id=_id(document.document, task, tasks, documents))
            items.append(item)
            documents[item.id] = document
    return Documents(tuple(items), declarations_of(tasks, metric), documents)


def _tasks(name: str, include: str | None) -> list[Any]:
    """The harness' tasks of that name, each with its data."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(Path(include).expanduser()) if include else None)
    if name not in manager.all_tasks:
        near = did_you_mean(name, manager.all_tasks, ("`lm_eval ls tasks` lists them",))
        raise ConfigError(f"task.name={name}: lm-evaluation-harness has no such task. {near}")
    try:
        return list(manager.load(name)["tasks"].values())
    except ImportError as error:
        raise UnavailableError(f"task.name={name}: the task needs another package: {first_line(error)}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise UnavailableError(
            f"task.name={name}: the task cannot be loaded ({type(error).__name__}: {first_line(error, 300)})"
        ) from error


def _refuse(task: Any) -> None:
    """Raise ConfigError for a task that cannot be run here."""
    if getattr(task, "MULTIMODAL", False):
        raise ConfigError(f"task.name={task.task_name}: it shows images or plays sounds; only text can be asked here")
    if getattr(task, "UNSAFE_CODE", False):
        raise ConfigError(f"task.name={task.task_name}: it runs code that the model writes; mindgap does not")


def _of_task(task: Any, chat: bool, multiturn: bool, max_tokens: int) -> Iterator[tuple[Item, _Document]]:
    """Every document of one task. All are made, in order, since the draws of examples follow one another."""
    for number, document in enumerate(task.eval_docs):
        prefix = task.doc_to_prefix(document)
        if chat and prefix:
            raise ConfigError(
                f"task.chat=true: {task.task_name} begins the reply itself (gen_prefix), which a chat template does "
                "not take here; set task.chat=false"
            )
        context = task.fewshot_context(
            document,
            num_fewshot=task.config.num_fewshot or 0,
            apply_chat_template=chat,
            fewshot_as_multiturn=multiturn,
            chat_template=_as_chat if chat else None,
            gen_prefix=prefix,
        )
        instances = task.construct_requests(
            doc=document,
            ctx=context,
            metadata=(task.config["task"], number, task.config.repeats),
            apply_chat_template=chat,
            chat_template=_as_chat if chat else None,
        )
        instances = instances if isinstance(instances, list) else [instances]
        trials, places = _trials(instances, max_tokens)
        yield _item(task, document), _Document(task, document, instances, trials, places)


def _as_chat(messages: Sequence[Mapping[str, str]], **settings: Any) -> str:
    """Messages as a prompt that `_messages` makes messages of again."""
    return CHAT + json.dumps(messages)


def _messages(prompt: str) -> tuple[tuple[Message, ...], bool]:
    """The messages that a prompt is made of, and whether a chat template makes it."""
    if not prompt.startswith(CHAT):
        return (Message("user", prompt),), False
    return tuple(Message(**message) for message in json.loads(prompt.removeprefix(CHAT))), True


def _trials(
    instances: Sequence[Any], max_tokens: int
) -> tuple[tuple[Trial, ...], tuple[tuple[tuple[int, int], ...], ...]]:
    """What the harness' requests ask, those of likelihoods after one prompt together; and where each one's is."""
    trials: list[Trial] = []
    places: list[tuple[tuple[int, int], ...]] = []
    of_prompt: dict[str, int] = {}
    for instance in instances:
        repeats = instance.repeats or 1
        if instance.request_type == "generate_until":
            prompt, settings = instance.args
            messages, chat = _messages(prompt)
            decoding, until = _decoding(settings, max_tokens)
            places.append(tuple((len(trials) + repeat, 0) for repeat in range(repeats)))
            trials += [Generation(messages, decoding, until, chat, repeat) for repeat in range(repeats)]
        elif instance.request_type == "loglikelihood":
            prompt, text = instance.args
            if prompt not in of_prompt:
                messages, chat = _messages(prompt)
                of_prompt[prompt] = len(trials)
                trials.append(Likelihoods(messages, (), chat))
            number = of_prompt[prompt]
            trial = trials[number]
            assert isinstance(trial, Likelihoods)
            places.append(((number, len(trial.texts)),) * repeats)
            trials[number] = replace(trial, texts=(*trial.texts, text))
        else:
            places.append(((len(trials), 0),) * repeats)
            trials.append(Likelihoods((), (instance.args[0],)))
    return tuple(trials), tuple(places)


def _decoding(settings: Mapping[str, Any], max_tokens: int) -> tuple[Decoding, tuple[str, ...]]:
    """How a reply is generated, and the texts at which it ends."""
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

    known = dict(normalize_gen_kwargs(dict(settings), max_tokens))
    until = handle_stop_sequences(known.get("until"), eos=None)
    temperature = float(known.get("temperature") or 0.0) if known.get("do_sample") else 0.0
    if unknown := {"top_k", "num_beams", "min_p", "repetition_penalty"} & known.keys():
        name = sorted(unknown)[0]
        if temperature or (name in ("num_beams", "repetition_penalty") and known[name] != 1):
            raise ConfigError(f"the task's generation_kwargs: {name} cannot be set here")
    decoding = Decoding(int(known["max_gen_toks"]), temperature, float(known.get("top_p") or 1.0))
    return decoding, tuple(text for text in until if text)


def _response(instance: Any, outcome: Outcome, text: int) -> Any:
    """An answer as the harness takes it."""
    if isinstance(outcome, Completion):
        return outcome.text
    if instance.request_type == "loglikelihood_rolling":
        return outcome.logprobs[text]
    return outcome.logprobs[text], outcome.greedy[text]


def _item(task: Any, document: Any) -> Item:
    """The document for people and judges; its id is not final."""
    question, target = task.doc_to_text(document), task.doc_to_target(document)
    choices = task.doc_to_choice(document) if task.get_config("doc_to_choice") is not None else None
    if isinstance(question, int) and choices:  # the choices stand in the question
        question, target = "\n".join(choices), choices[question]
    elif isinstance(target, int) and choices:
        target = choices[target] if target < len(choices) else ""
    targets = target if isinstance(target, list) else [target]
    if choices and all(isinstance(entry, int) for entry in targets):
        targets = [choices[entry] for entry in targets if entry < len(choices)]
    reference = tuple(text for entry in targets if (text := str(entry).strip()))
    return Item("-", str(question).strip(), reference=reference)


def _id(document: Any, task: Any, tasks: Sequence[Any], taken: Mapping[str, Any]) -> str:
    """Names a document by its content, whatever its place."""
    key = content_key("lm-evaluation-harness", document=json.dumps(document, sort_keys=True, default=str))[:12]
    name = f"{task.task_name}/{key}" if len(tasks) > 1 else key
    if name not in taken:
        return name
    return next(again for number in count(2) if (again := f"{name}-{number}") not in taken)
