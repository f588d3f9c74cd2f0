"""MMLU (Hendrycks et al. 2021, arXiv 2009.03300), from the Hugging Face hub or a folder in the same layout."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError, UnavailableError, first_line
from mindgap.core.keys import content_key
from mindgap.core.records import Item, Message
from mindgap.storage.cache import cache_folder
from mindgap.storage.hashes import file_hash
from mindgap.tasks.choice import MultipleChoice, lettered
from mindgap.tasks.hub import probe, unreachable

HUB_NAME = "cais/mmlu"
HUB_CONFIG = "all"
MMLU_COLUMNS = ("question", "subject", "choices", "answer")
PAPER_ITEMS_PER_SUBJECT = 3


@dataclass(frozen=True)
class Mmlu(MultipleChoice):
    """A seeded sample of MMLU's `test` split that takes from the 57 subjects in turn.

    Attributes:
        path: Hub name, or a folder with the columns of `cais/mmlu` in a config `all`; a folder needs no network.
    """

    path: str = HUB_NAME

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path.strip():
            raise ConfigError(f"task.path is empty: give a folder or a hub name, for example {HUB_NAME}")

    def check(self) -> None:
        """See `Task.check`."""
        check_source(self.path)

    def items(self) -> Iterator[Item]:
        """All items of the split."""
        return read_split(self.path, "test")


@dataclass(frozen=True)
class MmluPaper(Mmlu):
    """The paper's 171 items: the first 3 of each subject's 5 `dev` items. A seed changes only their order.

    Attributes:
        format: Said again after the options, as the paper did, so that it survives `instruction_mode: replace`.
    """

    format: str = ""

    def items(self) -> Iterator[Item]:
        """The first three `dev` items of each subject."""
        taken: Counter[str] = Counter()
        for item in read_split(self.path, "dev"):
            if taken[item.subject] < PAPER_ITEMS_PER_SUBJECT:
                taken[item.subject] += 1
                yield item

    def messages(self, item: Item) -> tuple[Message, ...]:
        """See `Task.messages`."""
        return self.conversation(item, f"{lettered(item)}\n\n{self.format}".strip())


def read_split(path: str, split: str) -> Iterator[Item]:
    """All items of a split in the data set's order; ids are `mmlu/<split>/<subject>/<row within the subject>`.

    Args:
        path: Hub name or folder.
        split: `dev`, `test`, ...

    Raises:
        ConfigError: The data are laid out otherwise.
        UnavailableError: The data cannot be had.
    """
    rows: Counter[str] = Counter()
    for row in _load(path, split):
        subject = row["subject"]
        item_id = f"mmlu/{split}/{subject}/{rows[subject]}"
        rows[subject] += 1
        try:
            yield Item(item_id, row["question"].strip(), subject, tuple(map(str, row["choices"])), int(row["answer"]))
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"task.path={path}: {item_id} cannot be used ({error}); {_layout()}") from error


def check_source(path: str) -> None:
    """Refuse what can be told to hold no data, before anything is loaded.

    A hub name costs one short request. Without it, `datasets` would try again for 23 s before it gave up.

    Args:
        path: Hub name or folder.

    Raises:
        ConfigError: It is no folder of data, and cannot be a hub name.
        UnavailableError: The hub does not know it, or cannot be reached.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not any(file.suffix in (".parquet", ".json", ".jsonl", ".csv", ".arrow") for file in folder.rglob("*")):
            raise ConfigError(f"task.path={path}: the folder holds no data files; {_layout()}")
        return
    if folder.exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", path):
        raise ConfigError(f"task.path={path}: there is no such folder; {_layout()}")
    probe(path, _ways())


def _load(path: str, split: str) -> Any:
    """The split as an iterable of rows, with its columns checked."""
    import datasets

    check_source(path)
    folder = Path(path).expanduser()
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if folder.is_dir():
            data = datasets.load_dataset(str(folder), HUB_CONFIG, split=split, cache_dir=str(_prepared(folder)))
        else:
            data = datasets.load_dataset(path, HUB_CONFIG, split=split)
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(f"task.path={path}: {first_line(error).rstrip('.')}; {_layout()}") from error
    except ConnectionError as error:
        raise UnavailableError(unreachable(path, error, _ways())) from error
    finally:
        if not bars:
            datasets.enable_progress_bars()
    if missing := [column for column in MMLU_COLUMNS if column not in data.column_names]:
        raise ConfigError(f"task.path={path}: there is no column {missing[0]!r}; {_layout()}")
    return data


def _prepared(folder: Path) -> Path:
    """Where `datasets` keeps what it makes of this folder's content.

    In a cache that all folders share it takes a folder for any other of the same name, and a changed one for what it
    was before.
    """
    hashes = {str(file.relative_to(folder)): file_hash(file) for file in sorted(folder.rglob("*")) if file.is_file()}
    return cache_folder() / "datasets" / content_key("data folder", files=hashes)


def _layout() -> str:
    return f"it must have a config {HUB_CONFIG!r} with splits dev and test and the columns {', '.join(MMLU_COLUMNS)}"


def _ways() -> str:
    return f"Give a folder (task.path=path/to/mmlu) or a data set's name on the hub (task.path={HUB_NAME})"
