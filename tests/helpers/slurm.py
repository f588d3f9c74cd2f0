"""A SLURM cluster of one node on this machine, in a folder of its own: its programs, without root and systemd."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
WHERE = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

CONFIGURATION = """\
ClusterName=mindgap
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
# cred_expire: a job that is put back into the queue waits as long before it starts again; at 3 it waited for minutes.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
KillWait=5
# More processors than there are: jobs here wait more than they work.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8
PartitionName=main Nodes=ALL Default=YES State=UP
"""

SACCT = """\
#!/bin/sh
# What submitit asks of sacct, which needs a database: the jobs that the controller still knows.
echo 'JobID|State|NodeList'
scontrol --oneliner show job | sed -nE \\
    -e 's/.* ArrayJobId=([0-9]+) ArrayTaskId=([0-9]+) .* JobState=([A-Z_]+) .*/\\1_\\2|\\3|/p;t' \\
    -e 's/.* ArrayJobId=([0-9]+) ArrayTaskId=([0-9,%-]+) .* JobState=([A-Z_]+) .*/\\1_[\\2]|\\3|/p;t' \\
    -e 's/^JobId=([0-9]+) .* JobState=([A-Z_]+) .*/\\1|\\2|/p'
"""


def missing() -> list[str]:
    """SLURM's programs that are not on this machine."""
    return [name for name in PROGRAMS if shutil.which(name, path=WHERE) is None]


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster while the block runs; yields the environment in which SLURM's commands speak to it.

    Args:
        folder: An empty folder, whose path is short enough for a socket.

    Raises:
        AssertionError: It does not start, with what its programs said.
    """
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    host, user = socket.gethostname().partition(".")[0], _user()
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, user=user, ports=ports, folder=folder))
    (folder / "bin" / "sacct").write_text(SACCT)
    (folder / "bin" / "sacct").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{WHERE}",
        "SLURM_CONF": str(folder / "slurm.conf"),
    }
    own = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("key-file", "socket", "pid-file")]
    own += [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("log-file", "seed-file")]
    with ExitStack() as running:
        # --force: the folder is not open to others, who have no business here
        running.enter_context(_daemon(["munged", "--foreground", "--force", *own], environment, folder))
        _until(lambda: (folder / "munge.socket").exists(), folder)
        running.enter_context(_daemon(["slurmctld", "-D", "-c"], environment, folder))
        running.enter_context(_daemon(["slurmd", "-D"], environment, folder))
        _until(lambda: _says(["sinfo", "--noheader", "--format=%T"], environment) == "idle", folder)
        try:
            yield environment
        finally:
            _says(["scancel", f"--user={user}"], environment)
            _until(lambda: _says(["squeue", "--noheader"], environment) == "", folder)


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    """A program that runs while the block does; what it says goes to a file in `folder`."""
    program = shutil.which(command[0], path=WHERE)
    assert program is not None
    with (folder / f"{command[0]}.log").open("wb") as said:
        process = subprocess.Popen([program, *command[1:]], env=environment, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _says(command: list[str], environment: dict[str, str]) -> str | None:
    """What a command of SLURM's prints; None where it fails."""
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return ended.stdout.strip() if ended.returncode == 0 else None


def _until(holds: Callable[[], bool], folder: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            said = "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("*.log")))
            raise AssertionError(f"the cluster did not come to it in {seconds:.0f} s\n{said}")
        time.sleep(0.1)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
