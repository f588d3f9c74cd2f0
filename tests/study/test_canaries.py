"""Keys reach servers and nothing else: whole studies with canaries for keys, then every file and line is searched.

The server refuses everything and quotes the key that it was sent, in all the ways that servers write one.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

import mindgap
from mindgap.storage.cache import cache_folder

CORE = "c4n4ry7f3"
"""In every canary; no way of writing a key changes it, but percent-encoding each character."""
KEYS = {
    "MY_ACCESS": f'sk-{CORE}+one/two="three"&<four>',  # not called like a key
    "JUDGE_ACCESS": f"{CORE}-for'the judge",
    "GOODFIRE_API_KEY": f"sk-{CORE}-goodfire",
    "WANDB_API_KEY": f"{CORE}{'0' * 31}",
}
YAML_KEY = f"{CORE}-in-yaml"
OWN_JUDGE = '''"""A judge of the user's own, with its key in the YAML, that fails with the key in its message."""
from dataclasses import dataclass
@dataclass(frozen=True)
class Own:
    api_key: str
    name: str = "own"
    identity: str = "own"
    def lacks(self):
        return []
    def judge(self, requests):
        raise RuntimeError(f"refused: {self.api_key}")
        yield
'''

OWN_TRACKER = '''"""A tracker of the user's own that fails: its job ends in a fault."""
from dataclasses import dataclass
@dataclass(frozen=True)
class Own:
    api_key: str
    def log(self, result):
        raise RuntimeError(f"refused: {self.api_key}")
    def log_sweep(self, comparison):
        raise RuntimeError(f"refused: {self.api_key}")
'''


def written(key: str, number: int) -> str:
    """The key, in another way each time; sometimes where a message is cut."""
    ways = [
        key,
        quote(key, safe=""),
        quote(key, safe="").replace("-", "%2D"),
        json.dumps(key),
        f"https://user:{quote(key, safe='')}@host/?api_key={quote(key)}",
        "".join(f"%{byte:02X}" for byte in key.encode()),
        "x" * (280 + number % 20) + key,
    ]
    return ways[number % len(ways)]


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that replies below `/good`, and elsewhere refuses what it is asked and quotes the key."""
    asked = iter(range(10**6))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            if self.path.startswith("/good"):
                message = {"role": "assistant", "content": "A plain reply, four words."}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                self.say(200, {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice]})
                return
            key = self.headers.get("Authorization", "").removeprefix("Bearer ") or self.headers.get("x-api-key", "")
            number = next(asked)
            said = f"Incorrect API key provided: {written(key, number)} for {self.path}"
            if number % 5 == 4:  # neither JSON nor an error
                self.say(200, said)
            else:
                self.say(401, {"error": {"message": said, "type": "x", "code": "invalid_api_key"}})

        do_GET = do_POST

        def say(self, status: int, body: object) -> None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status, "Unauthorized")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


def said_by(folder: Path, *words: str, module: str = "mindgap", **environment: str) -> tuple[int, str]:
    """Exit code and all that a command prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "OPENAI_"))}
    own = {
        "PYTHONPATH": str(Path(mindgap.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder / "home"),
        "MINDGAP_CACHE": str(cache_folder()),  # the embedded model takes long to prepare
    }
    ended = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env={**kept, **own, **KEYS, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    return ended.returncode, ended.stdout


def texts(path: Path) -> Iterator[str]:
    """What a file holds, as it is and unpacked."""
    content = path.read_bytes()
    yield content.decode(errors="replace")
    if path.suffix == ".parquet":
        yield str(pq.read_table(path).to_pylist())
    if path.suffix == ".sqlite":
        with sqlite3.connect(path) as db:
            yield str(db.execute("SELECT * FROM record").fetchall())
    if path.suffix == ".html":
        for packed in re.findall(r"H4sI[\w+/=]{20,}", content.decode()):
            yield gzip.decompress(base64.b64decode(packed)).decode()


def leaks(text: str) -> bool:
    """Whether anything of a canary is in a text: its core, or as much as a cut may have left of it."""
    plain = re.sub(r"%(?:25)*([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)
    return CORE[:6] in text or CORE[:6] in plain


def search(folder: Path) -> int:
    """Fail for a file with a canary in it; how many files there are."""
    files = [path for path in folder.rglob("*") if path.is_file() and "conf" not in path.parts]
    for path in files:
        for text in texts(path):
            assert not leaks(text), f"{path.relative_to(folder)} holds a canary"
    return len(files)


STUDY = (
    *("-m", "method=control,prompt", "task=starter_open", "task.limit=4", "query_set=quick", "resamples=200"),
    *("sweep=one", "model.embedded=false", "model.litellm_id=openai/some"),
)
LLM_JUDGE = ("judge=llm", "judge.model=openai/judge", "judge.key_env=JUDGE_ACCESS", "judge.max_retries=1")
HOSTED = ("backend=litellm", "backend.key_env=MY_ACCESS", "backend.max_retries=1")


def test_the_server_really_quotes_keys_and_the_search_really_finds_them(tmp_path: Path) -> None:
    for key in KEYS.values():
        for number in range(6):
            assert leaks(written(key, number)), written(key, number)
    (tmp_path / "a.log").write_text(written(KEYS["MY_ACCESS"], 5))
    with pytest.raises(AssertionError, match=r"a\.log"):
        search(tmp_path)


def test_a_hosted_model_that_refuses(tmp_path: Path, server: str) -> None:
    own = (*HOSTED, *LLM_JUDGE, f"judge.api_base={server}/bad/v1", "tracker.mode=offline")
    code, said = said_by(tmp_path, *STUDY, *own, f"backend.api_base={server}/bad/v1")
    assert code == 1 and "***" in said and not leaks(said), said
    assert list(tmp_path.glob("outputs/one/wandb/offline-run-*/*.wandb"))
    assert search(tmp_path) > 10


def test_an_address_in_the_environment_that_holds_a_password(tmp_path: Path, server: str) -> None:
    address = f"{server}/bad/v1?api_key={CORE}-in-url".replace("://", f"://me:{CORE}%2Din-url@")
    own = (*HOSTED, *LLM_JUDGE, "tracker.mode=offline")
    code, said = said_by(tmp_path, *STUDY, *own, OPENAI_BASE_URL=address)
    assert code == 1 and not leaks(said), said
    assert search(tmp_path) > 10


def test_a_judge_that_refuses_and_the_commands_after_it(tmp_path: Path, server: str) -> None:
    bad = (*LLM_JUDGE, f"judge.api_base={server}/bad/v1")
    good = (*HOSTED, f"backend.api_base={server}/good/v1", "tracker.mode=offline")
    code, said = said_by(tmp_path, *STUDY, *good, *bad)
    assert code == 0 and not leaks(said), said
    code, said = said_by(tmp_path, "outputs/one", *bad, module="mindgap.judge")
    assert code == 1 and not leaks(said), said
    (tmp_path / "outputs" / "one" / "report.html").unlink()
    code, said = said_by(tmp_path, "outputs/one", module="mindgap.report")
    assert code == 0 and not leaks(said), said
    reasons = pq.read_table(next(tmp_path.glob("outputs/one/*/samples.parquet")))["behaviour_missing"].to_pylist()
    assert any("***" in reason for reason in reasons)
    assert search(tmp_path) > 10


def test_litellms_own_clients(tmp_path: Path, server: str) -> None:
    """Of a provider that is not asked directly: litellm's errors quote what it was told."""
    own = (*HOSTED, *LLM_JUDGE, "judge.model=anthropic/claude-x", f"judge.api_base={server}/bad", "tracker=none")
    model = ("model.litellm_id=deepseek/some", f"backend.api_base={server}/bad")
    code, said = said_by(tmp_path, *STUDY, *own, *model)
    assert code == 1 and "***" in said and not leaks(said), said
    assert search(tmp_path) > 5


@pytest.mark.parametrize("backend", ["goodfire", "vllm"])
def test_servers_that_steer(backend: str, tmp_path: Path, server: str) -> None:
    pytest.importorskip("goodfire" if backend == "goodfire" else "torch")
    own = {
        "goodfire": ("model.goodfire_id=some",),
        "vllm": (f"backend.urls=[{server}]", "backend.key_env=MY_ACCESS"),
    }[backend]
    words = (f"backend={backend}", *own, "backend.max_retries=1", "tracker=none", "judge=proxy", "model=tiny")
    code, said = said_by(tmp_path, *STUDY, *words, "model.embedded=true", GOODFIRE_BASE_URL=server)
    assert code == 1 and "***" in said and not leaks(said), said
    assert search(tmp_path) > 5


def test_a_judge_of_ones_own_with_its_key_in_the_yaml(tmp_path: Path, server: str) -> None:
    folder = tmp_path / "conf" / "judge"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(f"_target_: own_judge.Own\napi_key: {YAML_KEY}\n")
    (tmp_path / "conf" / "own_judge.py").write_text(OWN_JUDGE)
    good = (*HOSTED, f"backend.api_base={server}/good/v1", "tracker=none", "--config-dir", "conf", "judge=own")
    path = os.pathsep.join([str(Path(mindgap.__file__).parents[1]), str(tmp_path / "conf")])
    code, said = said_by(tmp_path, *STUDY, *good, PYTHONPATH=path)
    assert code == 0 and not leaks(said), said
    missing = pq.read_table(next(tmp_path.glob("outputs/one/*/samples.parquet")))["behaviour_missing"].to_pylist()
    assert set(missing) == {"judge own failed: RuntimeError: refused: ***"}
    assert search(tmp_path) > 5


def test_a_job_that_fails_with_a_key_on_the_command_line(tmp_path: Path, server: str) -> None:
    folder = tmp_path / "conf" / "tracker"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("_target_: own_tracker.Own\napi_key: none\n")
    (tmp_path / "conf" / "own_tracker.py").write_text(OWN_TRACKER)
    good = (*HOSTED, f"backend.api_base={server}/good/v1", "judge=proxy", "--config-dir", "conf", "tracker=own")
    path = os.pathsep.join([str(Path(mindgap.__file__).parents[1]), str(tmp_path / "conf")])
    code, said = said_by(tmp_path, *STUDY, *good, f"tracker.api_key={YAML_KEY}", PYTHONPATH=path)
    assert code != 0 and "refused: ***" in said and not leaks(said), said
    assert search(tmp_path) > 3


@pytest.mark.parametrize(
    "word",
    [
        f"+judge.api_key={YAML_KEY}",
        f"+judge.api_key={YAML_KEY}(",
        f"+judge={{_target_: mindgap.judges.llm.LLMJudge, api_key: {YAML_KEY}}}",
        f"judge.api_base=http://me:{CORE}@127.0.0.1/v1",
        f"judge.api_base=ftp://host/?key={CORE}",
        f"judge.max_tokens=http://me:{CORE}@host",
        f"model.hf_id=http://me:{CORE}@host/?token={CORE}",
    ],
)
def test_a_secret_on_the_command_line(word: str, tmp_path: Path) -> None:
    code, said = said_by(tmp_path, "judge=llm", "judge.key_env=null", "tracker=none", "model.embedded=false", word)
    assert code == 2 and "Traceback" not in said and not leaks(said), said
    search(tmp_path)


def test_a_fault_of_ours_shows_no_key(tmp_path: Path) -> None:
    fault = "import mindgap.cli.stderr as e, os; e.mask_tracebacks(); raise RuntimeError(os.environ['WANDB_API_KEY'])"
    ended = subprocess.run(
        [sys.executable, "-c", fault],
        env={**os.environ, **KEYS, "PYTHONPATH": str(Path(mindgap.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert "RuntimeError: ***" in ended.stderr and not leaks(ended.stderr)
