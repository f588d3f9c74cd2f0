"""The program that measures whether one request may carry both scores, against a scripted server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer, Reply

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "judge_one_request.py"


@pytest.mark.skipif(not PROGRAM.is_file(), reason="benchmarks are not here")
def test_it_finds_a_judge_that_is_milder_when_asked_for_both(chat_server: ChatServer, tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        keys = body["response_format"]["json_schema"]["schema"]["required"]
        number = int(body["messages"][1]["content"].split("response number ")[1].split()[0])
        behaviour = 1 + number % 4
        scores = {"behaviour": behaviour + ("coherence" in keys), "coherence": 1 + number % 5}
        return Reply(json.dumps({"analysis": "", **{key: scores[key] for key in keys[1:]}}))

    chat_server.answer = answer
    rows = [{"query": "be funny", "prompt": "Why?", "response": f"response number {n} "} for n in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "samples.parquet")
    settings = ["judge.model=openai/x", f"judge.api_base={chat_server.url}", "judge.key_env=null"]
    command = [sys.executable, str(PROGRAM), str(tmp_path / "samples.parquet"), *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    said = {line[:34].strip(): line[34:].split() for line in done.stdout.splitlines()[2:6]}
    assert said["behaviour: apart, then in one"][:2] == ["20", "0.00"]
    assert said["behaviour: apart, then in one"][4] == "+1.000"
    assert said["behaviour: apart, then apart again"][1:5] == ["1.00", "1.00", "1.00", "+0.000"]
    assert said["coherence: apart, then in one"][1:5] == ["1.00", "1.00", "1.00", "+0.000"]
    assert len(chat_server.asked) == 20 * 5
