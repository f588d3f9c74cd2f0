"""Weights & Biases: a copy of each cell as one run and of the sweep as another, never at the cost of the files."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.core.errors import ConfigError
from mindgap.core.secrets import excerpt
from mindgap.results.cell import CellResult
from mindgap.results.masking import without_secrets
from mindgap.storage.atomic import replacing
from mindgap.tracking.probe import unreachable

if TYPE_CHECKING:
    import wandb

    from mindgap.analysis.whole import SweepComparison
    from mindgap.tracking.wandb_run import RunContent

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")
RUN_ID = "wandb_run_id"
"""File in a cell's or sweep's folder with the id of its run: what is logged again replaces its run, and no other."""

PROBE_S = 3.0
"""Most seconds to wait for a sign of life from the server; W&B's own client would try for 100."""


@dataclass(frozen=True)
class WandbTracker:
    """`tracker=wandb`.

    Attributes:
        project: Where runs go.
        entity: Whose project; None is the account's default.
        mode: `auto` is online with a key and a reachable server and offline otherwise; `online` never writes offline.
        timeout_s: Seconds to connect.
        upload_timeout_s: Seconds to upload a cell, or the sweep's summary.
        tags: Of every run.
        max_table_rows: Most samples in a run's table.

    Raises:
        ConfigError: A setting is out of its range.
    """

    project: str = "mindgap"
    entity: str | None = None
    mode: str = "auto"
    timeout_s: float = 10.0
    upload_timeout_s: float = 60.0
    tags: tuple[str, ...] = ()
    max_table_rows: int = 2000

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"tracker.mode={self.mode!r}: choose {', '.join(MODES[:-1])} or {MODES[-1]}")
        if not 1 <= len(self.project) <= 128 or set(self.project) & set("/\\#?%:"):
            raise ConfigError(f"tracker.project={self.project!r}: needs 1 to 128 characters, none of them / \\ # ? % :")
        for key in ("timeout_s", "upload_timeout_s"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"tracker.{key} must be more than 0, not {getattr(self, key):g}")
        for tag in self.tags:
            if not 1 <= len(tag) <= 64:
                raise ConfigError(f"tracker.tags: {tag!r} must have 1 to 64 characters")
        if not 0 <= self.max_table_rows <= 10_000:
            raise ConfigError(f"tracker.max_table_rows must be from 0 to 10000, not {self.max_table_rows}")

    def log(self, result: CellResult) -> str | None:
        """See `Tracker.log`. Whatever W&B raises ends here, as a warning in the log and in the line returned."""
        if self._wanted_mode() == "disabled":
            return None
        from mindgap.tracking.wandb_run import run_content

        content = run_content(without_secrets(result), self.tags, self.max_table_rows)
        return self._log_or_say_why(content, result.folder, result.folder.parent)

    def log_sweep(self, comparison: SweepComparison) -> str | None:
        """See `Tracker.log_sweep`. The run's job type is `summary`, its group that of the cells."""
        if self._wanted_mode() == "disabled":
            return None
        from mindgap.tracking.wandb_sweep import sweep_content

        folder = comparison.sweep.folder
        return self._log_or_say_why(sweep_content(comparison, self.tags), folder, folder)

    def why_offline(self) -> str | None:
        """What stands against logging online; None if nothing does. Asks the server for a sign of life."""
        import wandb
        from wandb.sdk.lib import wbauth

        if self._wanted_mode() == "offline":
            return "as set by tracker.mode" if self.mode == "offline" else "as set by WANDB_MODE"
        settings = wandb.setup().settings
        if not (settings.api_key or settings.identity_token_file or wbauth.read_netrc_auth(host=settings.base_url)):
            return "no API key: set WANDB_API_KEY or run `wandb login`"
        return unreachable(settings.base_url, min(PROBE_S, self.timeout_s))

    def _log_or_say_why(self, content: RunContent, folder: Path, sweep: Path) -> str:
        """Log the run whose id is kept in `folder`; `sweep` is where W&B's own files go."""
        try:
            with quiet_client(sweep / "wandb"):
                return self._log(content, folder, sweep)
        except Exception as error:  # noqa: BLE001 - the seam to a client, a service and a server that are not ours
            reason = one_line(error)
            log.warning("%s is not in W&B: %s", content.name, reason)
            return f"not in W&B ({reason}); all of it is in {folder}"

    def _wanted_mode(self) -> str:
        """The mode set here; `auto` leaves it to W&B's own switch, WANDB_MODE, where that says offline or disabled."""
        switch = {"dryrun": "offline", "offline": "offline", "disabled": "disabled"}
        return switch.get(os.environ.get("WANDB_MODE", ""), "auto") if self.mode == "auto" else self.mode

    def _log(self, content: RunContent, folder: Path, sweep: Path) -> str:
        import wandb

        why_offline = self.why_offline()
        run = None
        if why_offline is None:
            try:
                run = self._start(content, folder, sweep, "online")
            except wandb.Error as error:
                why_offline = one_line(error)
                (folder / RUN_ID).unlink(missing_ok=True)  # refused, or still held by the client's service
        if run is None:
            assert why_offline is not None
            if self._wanted_mode() == "online":
                raise wandb.Error(why_offline)
            run = self._start(content, folder, sweep, "offline")
        directory = Path(run.dir).parent
        try:
            _fill(run, content)
        except BaseException:
            run.finish(exit_code=1)
            raise
        command = f"wandb sync {shlex.quote(str(directory))}"
        try:
            run.finish(exit_code=int(content.failed))
        except TimeoutError:
            log.warning("W&B: upload not complete after %g s", self.upload_timeout_s)
            return f"W&B: upload not complete after {self.upload_timeout_s:g} s; the rest: {command}"
        if why_offline is None:
            return f"W&B: {run.url}"
        log.info("W&B offline (%s): %s", why_offline, command)
        return f"W&B offline ({why_offline}); to upload: {command}"

    def _start(self, content: RunContent, folder: Path, sweep: Path, mode: str) -> wandb.Run:
        """Open the run. It sees of this machine no code, git state, host name, hardware or list of packages."""
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            host="",
            symlink=False,
            disable_code=True,
            disable_git=True,
            save_code=False,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
            init_timeout=self.timeout_s,
            finish_timeout=self.upload_timeout_s if mode == "online" else 0,
            finish_timeout_raises=True,
        )
        return wandb.init(
            project=self.project,
            entity=self.entity,
            dir=sweep,
            id=_run_id(folder),
            name=content.name,
            group=content.group,
            job_type=content.job_type,
            tags=content.tags,
            notes=content.notes or None,
            config=content.config,
            mode="online" if mode == "online" else "offline",
            reinit="create_new",  # no global run that one cell could leave to the next
            settings=settings,
        )


def _fill(run: wandb.Run, content: RunContent) -> None:
    """Everything in one step; numbers thereby are in the run's summary as well."""
    import wandb

    from mindgap.tracking.wandb_run import SCORE_BINS

    media: dict[str, object] = {
        name: wandb.Histogram(np_histogram=(counts, SCORE_BINS)) for name, counts in content.histograms.items()
    }
    if content.rows:
        media["samples"] = wandb.Table(columns=list(content.columns), data=content.rows)
    for name, table in content.tables.items():
        media[name] = wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
    for name, spec in content.figures.items():
        import plotly.graph_objects as go

        media[name] = wandb.Plotly(go.Figure(spec))
    run.log({**content.numbers, **media})
    for path in content.files:
        run.save(path, base_path=path.parent, policy="now")
    run.summary.update(content.texts)


def _run_id(folder: Path) -> str:
    """The id of the run of a cell or sweep, made up on first use and kept in its folder."""
    path = folder / RUN_ID
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(f"{secrets.token_hex(4)}\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


@contextmanager
def quiet_client(folder: Path) -> Iterator[None]:
    """While the block runs, W&B keeps quiet, reports no crashes to its maker, and stages files in `folder`.

    A variable that the user has set stays as it is. Without the folders, tables of offline runs would wait for their
    upload in the user's home, where nobody would look for them when the sweep is moved or deleted.
    """
    variables = {
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        "WANDB_DATA_DIR": str(folder),
        "WANDB_CACHE_DIR": str(folder / "cache"),
    }
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def one_line(error: BaseException) -> str:
    """One line of what went wrong, without secrets."""
    return excerpt(" ".join(str(error).split()) or type(error).__name__, 120)
