"""What clients do wrong, and what happens to them, costs nobody else anything."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

API = "/api/inference/v1"
CHAT = f"{API}/chat/completions"
MODEL = "small"
ASKED = [{"role": "user", "content": "Tell me of funny boats."}]
GREEDY = {"model": MODEL, "messages": ASKED, "temperature": 0, "max_completion_tokens": 10}
LONG = {**GREEDY, "max_completion_tokens": 900}


@pytest.fixture
def http(server: Any) -> Any:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{not json", "json_invalid"),
        ("[" * 100_000, ""),
        (json.dumps({**GREEDY, "temperature": "warm"}), "float_parsing"),
        (json.dumps({**GREEDY, "temperature": float("nan")}), "finite_number"),
        (json.dumps({**GREEDY, "messages": []}), "too_short"),
        (json.dumps({**GREEDY, "messages": [{"role": "wizard", "content": "x"}]}), "literal_error"),
        (json.dumps({**GREEDY, "top_p": 0}), "greater_than"),
        (json.dumps({**GREEDY, "controller": {"interventions": [], "scops": []}}), "extra_forbidden"),
        (json.dumps({**GREEDY, "seed": 2**70}), "less_than_equal"),
    ],
)
def test_malformed_requests_get_the_reasons(http: Any, body: str, words: str) -> None:
    answer = http.post(CHAT, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in ((400, 422) if not words else (422,))
    assert words in answer.text
    assert len(answer.text) < 5000
    assert http.post(CHAT, json=GREEDY).status_code == 200


def test_a_body_of_10_mb_is_refused_and_the_client_hears_it(http: Any) -> None:
    huge = {**GREEDY, "messages": [{"role": "user", "content": "x" * 10_000_000}]}
    answer = http.post(CHAT, json=huge)
    assert answer.status_code == 413
    assert "4194304 bytes" in answer.json()["detail"]

    def parts() -> Any:  # without a Content-Length
        for _ in range(100):
            yield b"x" * 100_000

    assert http.post(CHAT, content=parts()).status_code == 413


def test_limits_and_unknown_things_are_said_in_words(http: Any) -> None:
    many = {**GREEDY, "messages": ASKED * 300}
    assert "Too many messages" in http.post(CHAT, json=many).json()["detail"]
    long = {**GREEDY, "messages": [{"role": "user", "content": "so " * 2000}]}
    assert "context is 1024" in http.post(CHAT, json=long).json()["detail"]
    other = http.post(CHAT, json={**GREEDY, "model": "gpt-4o"})
    assert (other.status_code, "Served here" in other.json()["detail"]) == (404, True)
    unknown = {"uuid": uuid4().hex, "label": "mine", "index_in_sae": 3, "max_activation_strength": 1}
    controller = {"interventions": [{"mode": "nudge", "features": {"features": [unknown]}, "value": 0.5}]}
    refused = http.post(CHAT, json={**GREEDY, "controller": controller})
    assert (refused.status_code, "another SAE" in refused.json()["detail"]) == (404, True)
    for path, body in (
        ("features/lookup", {"indices": [48], "model": MODEL}),
        ("features/rerank", {"query": "x", "feature_ids": [str(uuid4())], "model": MODEL}),
        ("attributions/neighbors", {"feature_indices": [1000], "model": MODEL}),
    ):
        assert http.post(f"{API}/{path}", json=body).status_code == 404
    assert http.get(f"{API}/features/", params={"feature_id": [str(uuid4())]}).status_code == 404
    contradiction = {"specification": "be funny and not funny", "model": MODEL}
    answer = http.post(f"{API}/features/auto-edits", json=contradiction)
    assert (answer.status_code, "cannot follow" in answer.json()["detail"]) == (400, True)


def test_text_that_no_file_holds_and_10_000_messages_cost_one_request(http: Any) -> None:
    half = '{"model": "small", "messages": [{"role": "user", "content": "a\\ud800b"}], "max_completion_tokens": 3}'
    json_body = {"Content-Type": "application/json"}
    assert http.post(CHAT, content=half, headers=json_body).status_code == 200
    for path in (CHAT, "/v1/chat/completions"):
        answer = http.post(path, content=half.replace('"max_', '"\\udfff": "\\ud800", "max_'), headers=json_body)
        assert answer.status_code == (422 if path == CHAT else 400) and answer.json()
    many = {**GREEDY, "messages": ASKED * 10_000}
    answer = http.post(CHAT, json=many)
    assert (answer.status_code, len(answer.text) < 1000) == (422, True)
    assert http.post(CHAT, json=GREEDY).status_code == 200


def stream_without_reading(url: str) -> socket.socket:
    """A connection on which a long reply has been asked for as a stream; nothing of it is read."""
    raw = socket.create_connection((httpx.URL(url).host, httpx.URL(url).port), timeout=60)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = json.dumps({**LONG, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return raw


def test_who_reads_slowly_holds_up_nobody_and_loses_nothing(server: Any, http: Any) -> None:
    with stream_without_reading(server.url) as slow:
        server.wait(lambda worker: worker.active == 1)
        assert http.post(CHAT, json=GREEDY).status_code == 200
        server.wait(lambda worker: worker.active == 0)  # the model has long finished
        time.sleep(0.5)
        received = b"".join(iter(lambda: slow.recv(4096), b""))
    assert b"data: [DONE]" in received and received.count(b"data: {") > 100


def test_64_clients_gone_in_the_middle_free_their_places(server: Any, http: Any) -> None:
    counts = server.service.worker.counts
    cancelled, replies = counts.cancelled, counts.replies
    clients = [stream_without_reading(server.url) for _ in range(64)]
    server.wait(lambda worker: worker.active + worker.waiting > 40)
    for client in clients:
        client.close()
    server.wait(lambda worker: worker.active == 0 and worker.waiting == 0)
    assert counts.cancelled > cancelled and counts.replies == replies  # those that waited were never begun
    assert http.post(CHAT, json=GREEDY).status_code == 200


def test_a_client_that_goes_away_frees_its_row(server: Any, http: Any) -> None:
    for stream in (True, False):
        cancelled = server.service.worker.counts.cancelled
        body = json.dumps({**LONG, "stream": stream}).encode()
        with socket.create_connection((httpx.URL(server.url).host, httpx.URL(server.url).port)) as raw:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            server.wait(lambda worker: worker.active == 1)
        server.wait(lambda worker, before=cancelled: worker.active == 0 and worker.counts.cancelled == before + 1)
    assert http.post(CHAT, json=GREEDY).status_code == 200


def test_a_request_does_not_wait_for_the_one_in_flight(server: Any, http: Any) -> None:
    """A short reply that comes while a long one runs is done long before it."""
    done: list[str] = []

    def ask(name: str, body: dict[str, Any]) -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            assert client.post(CHAT, json=body).status_code == 200
        done.append(name)

    long = threading.Thread(target=ask, args=("long", LONG), daemon=True)
    long.start()
    server.wait(lambda worker: worker.active == 1)
    ask("short", GREEDY)
    long.join()
    assert done == ["short", "long"]


def test_greedy_replies_of_a_crowd_are_those_of_one(server: Any, http: Any) -> None:
    """More clients than rows, each with a prompt and a steering of its own."""
    bodies = []
    for number in range(24):
        described = server.service.features.described(number)
        feature = {"uuid": described["id"], "label": "", "index_in_sae": number}
        mode = ("nudge", "pin", "mul")[number % 3]
        interventions = [{"mode": mode, "features": {"features": [feature]}, "value": 1.5}]
        messages = [{"role": "user", "content": "say " * (1 + number % 7) + str(number)}]
        bodies.append({**GREEDY, "messages": messages, "controller": {"interventions": interventions}})
    alone = [http.post(CHAT, json=body).json()["choices"][0] for body in bodies]
    together: list[Any] = [None] * len(bodies)

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            together[number] = client.post(CHAT, json=bodies[number]).json()["choices"][0]

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_health_and_metrics(http: Any) -> None:
    assert http.get("/healthz").text == "ok\n"
    http.post(CHAT, json=GREEDY)
    lines = http.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values[f'ember_requests_total{{path="{CHAT}",status="200"}}']) >= 1
    assert float(values["ember_generated_tokens_total"]) >= 10
    assert float(values['ember_first_token_seconds_bucket{le="+Inf"}']) == float(
        values["ember_first_token_seconds_count"]
    )


def test_a_name_that_is_made_to_point_here_is_not_served(http: Any) -> None:
    assert http.get("/v1/models", headers={"Host": "evil.example"}).status_code == 400
    assert http.get("/v1/models", headers={"Host": "localhost:1234"}).status_code == 200


def test_a_full_queue_answers_429_and_says_when_to_come_back(serve: Any) -> None:
    with serve("queue=2", "backend.max_rows=1") as here, httpx.Client(base_url=here.url) as http:
        ask = partial(httpx.post, here.url + CHAT, json=LONG, timeout=300)
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
        threads[0].start()
        here.wait(lambda worker: worker.active == 1 and worker.waiting == 0)
        for thread in threads[1:]:
            thread.start()
        here.wait(lambda worker: worker.active == 1 and worker.waiting == 2)
        refused = http.post(CHAT, json=GREEDY)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert "Rate limit" in refused.json()["detail"]
        for thread in threads:
            thread.join()
        assert http.post(CHAT, json=GREEDY, timeout=60).status_code == 200


def test_keys_restart_and_a_stop_that_lets_replies_end(start: Any) -> None:
    """A process of its own: a wrong key, SIGTERM in the middle of a reply, the same port again."""
    key = "a secret of 27 characters !"
    settings = ("api_key_env=TEST_EMBER_KEY", "host=127.0.0.1")
    first = start(*settings, environment={"TEST_EMBER_KEY": key})
    right = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{first.url}/healthz").status_code == 200
    for wrong in ({}, {"Authorization": "Bearer no"}, {"Authorization": key}, {"Authorization": f"Basic {key}"}):
        answer = httpx.post(first.url + CHAT, json=GREEDY, headers=wrong)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API key."})
    before = httpx.post(first.url + CHAT, json=GREEDY, headers=right, timeout=60).json()["choices"]

    with httpx.stream("POST", first.url + CHAT, json={**LONG, "stream": True}, headers=right, timeout=120) as reply:
        lines = reply.iter_lines()
        next(lines)
        first.process.send_signal(signal.SIGTERM)
        rest = [line for line in lines if line.startswith("data: ")]
    assert rest[-1] == "data: [DONE]"
    assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"] in ("stop", "length")
    assert first.process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{first.url}/healthz")
    assert key not in "".join(first.said)

    again = start(*settings, f"port={httpx.URL(first.url).port}", environment={"TEST_EMBER_KEY": key})
    assert again.url == first.url
    after = httpx.post(again.url + CHAT, json=GREEDY, headers=right, timeout=60).json()["choices"]
    assert after == before
    assert again.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["host=0.0.0.0"], "clients must need a key"),
        (["api_key_env=NOT_SET_ANYWHERE"], "not set, or is empty"),
        (["queue=0"], "queue must be at least 1"),
        (["port=http"], "must be a whole number"),
        (["quue=3"], "Did you mean queue?"),
        (["method=control"], "needs one with Auto Steer"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(
    settings: list[str], words: str, served: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from mindgap.ember.__main__ import main

    assert main([*served, "port=0", *settings]) == 2
    assert words in capsys.readouterr().err


def test_time_to_wait_is_short_while_a_steering_is_made(server: Any, http: Any) -> None:
    """Auto Steer works between the decode steps of others: a reply does not wait until it is done."""
    done: list[str] = []

    def steer() -> None:
        body = {"specification": f"be new {time.time()}", "model": MODEL}
        assert httpx.post(f"{server.url}{API}/features/auto-edits", json=body, timeout=300).status_code in (200, 400)
        done.append("steer")

    thread = threading.Thread(target=steer, daemon=True)
    thread.start()
    server.wait(lambda worker: worker.tasks > 0)
    assert http.post(CHAT, json=GREEDY).status_code == 200
    done.append("reply")
    thread.join()
    assert done == ["reply", "steer"]
