"""The Goodfire backend: the real SDK against a scripted server of its protocol on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import numpy as np
import pytest

pytest.importorskip("goodfire")

from mindgap.backends.base import AutoEditing, Capability
from mindgap.backends.goodfire import GoodfireBackend
from mindgap.core.edits import AddVector, Comparison, Condition
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, OptionsRequest, Request
from mindgap.providers.loop import event_loop
from mindgap.steering.features import feature_edit

MODEL = ModelSpec("8b", goodfire_id="meta-llama/Meta-Llama-3.1-8B-Instruct")
FEATURES: frozenset[Capability] = frozenset({"generate", "features"})
LABELS = [f"label {index}" if index % 3 else "" for index in range(13)]


def described(index: int, **more: Any) -> dict[str, Any]:
    uuid = str(UUID(int=1000 + index))
    return {"id": uuid, "uuid": uuid, "label": LABELS[index], "index_in_sae": index, **more}


class Service:
    """`script` holds what befalls calls of chat to come, before all go well: see `_befall`. asked: (path, body)."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.fingerprint = "tiny, really"
        self.edits: list[Any] = []
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def chats(self) -> list[dict[str, Any]]:
        return [body for path, body in self.asked if path == "chat/completions"]

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "chat/completions":
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
            reply = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
            usage = {"prompt_tokens": 7, "completion_tokens": 3}
            return 200, {**reply, "system_fingerprint": self.fingerprint, "usage": usage}
        if path == "features/lookup":
            if max(body["indices"]) >= len(LABELS):
                return 404, {"detail": "no such feature"}
            return 200, {"features": [described(index) for index in body["indices"]]}
        if path == "features/auto-edits":
            return 200, {"edits": self.edits}
        if path in ("features/search", "features/rerank"):
            features = [described(index, relevance=relevance) for index, relevance in ((4, 0.9), (2, 0.5), (7, 0.1))]
            return 200, {"features": features}
        return 404, {"detail": "no such path"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                path = self.path.partition("?")[0].removeprefix("/api/inference/v1/")
                with service.lock:
                    service.asked.append((path, body))
                    befalls = service.script.pop(0) if service.script and path == "chat/completions" else None
                if befalls == "killed":
                    self.connection.close()
                    self.close_connection = True
                elif isinstance(befalls, str):
                    self._send(200, befalls.encode())
                elif befalls is not None:
                    status, headers = befalls
                    self._send(status, b'{"detail": "scripted, the key is secret-key"}', headers)
                else:
                    status, answer = service.answer(path, body)
                    self._send(status, json.dumps(answer).encode())

            do_GET = do_POST

            def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setenv("GOODFIRE_BASE_URL", made.url)
    monkeypatch.setenv("GOODFIRE_API_KEY", "secret-key")
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 0.01)
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def endpoint(service: Service) -> Any:
    made = GoodfireBackend(max_retries=3, timeout=20, concurrency=4).open(MODEL)
    service.asked.clear()
    return made


def request(endpoint: Any, text: str = "Hi.", **settings: Any) -> Request:
    decoding = settings.pop("decoding", Decoding(20, 0.7, 0.8))
    return Request(endpoint.identity, (Message("user", text),), decoding, 2**62 + 17, **settings)


def test_the_request_goes_out_as_it_is_and_comes_back_counted(endpoint: Any, service: Service) -> None:
    ((_, completion),) = endpoint.generate([request(endpoint)])
    assert (completion.text, completion.finish_reason, completion.error) == ("Hello.", "stop", None)
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 3)
    (body,) = service.chats
    assert body["messages"] == [{"role": "user", "content": "Hi."}]  # no system prompt that nobody asked for
    assert (body["max_completion_tokens"], body["temperature"], body["top_p"]) == (20, 0.7, 0.8)
    assert (body["seed"], body["stop"], body["model"]) == (2**62 + 17, None, MODEL.goodfire_id)
    assert "controller" not in body


def test_edits_go_out_as_one_change_a_feature_in_the_same_units(endpoint: Any, service: Service) -> None:
    nudge = replace(feature_edit(endpoint, 4, 0.3), offset=np.float32(0.25))  # type: ignore[arg-type]
    pin, ablation = feature_edit(endpoint, 5, 0.5, mode="pin"), feature_edit(endpoint, 7, 0.0, mode="ablate")
    half = feature_edit(endpoint, 8, 0.5, mode="pin").scaled(0.5)
    list(endpoint.generate([request(endpoint, edits=(nudge, nudge, pin, ablation, half))]))
    made = service.chats[0]["controller"]
    shown = [
        (change["mode"], change["features"]["features"][0]["index_in_sae"], change["value"])
        for change in made["interventions"]
    ]
    assert shown == [("nudge", 4, 0.5), ("pin", 5, 0.5), ("pin", 7, 0.0), ("mul", 8, 0.5), ("nudge", 8, 0.25)]
    assert UUID(made["interventions"][0]["features"]["features"][0]["uuid"]) == UUID(int=1004)
    assert not made["scopes"]


def test_what_the_api_cannot_do_is_never_sent_unsteered(endpoint: Any, service: Service) -> None:
    edit = feature_edit(endpoint, 4, 0.3)
    when = Condition((Comparison(5, ">", 0.1, 1.0),))
    refused = [
        (AddVector(1, np.ones(4, dtype=np.float32)), "not by vectors"),
        (replace(edit, sae="another"), "another SAE"),
        (replace(edit, positions="response"), "positions=all"),
        (replace(edit, when=when), "condition"),
    ]
    service.asked.clear()
    done = dict(endpoint.generate([request(endpoint, edits=(edit,)) for edit, _ in refused]))
    for index, (_, words) in enumerate(refused):
        assert done[index].finish_reason == "error" and not done[index].text and words in done[index].error
    assert not service.chats
    with pytest.raises(UnavailableError, match="log-likelihoods"):
        endpoint.loglikelihood([OptionsRequest("s", (Message("user", "Hi."),), ("a",))])


@pytest.mark.parametrize(
    "script",
    [
        [(500, {}), (503, {}), (502, {})],
        ["killed", "killed"],
        [(429, {"Retry-After": "0"}), "<html>"],
        ['{"cut": '],
    ],
)
def test_what_passes_is_tried_again_and_nobody_notices(endpoint: Any, service: Service, script: list[Any]) -> None:
    service.script = list(script)
    ((_, completion),) = endpoint.generate([request(endpoint)])
    assert (completion.text, completion.error) == ("Hello.", None)
    assert len(service.chats) == len(script) + 1
    assert all(body == service.chats[0] for body in service.chats)


@pytest.mark.parametrize(
    ("script", "calls", "words"),
    [
        ([(500, {})] * 9, 4, "(after 4 calls)"),
        ([(422, {})], 1, "422"),
        ([(401, {})], 1, "401"),
        ([(429, {"Retry-After": "3600"})], 1, "429"),
        (['{"choices": []}'], 1, "not what the SDK expects"),
        (["[1, 2]"], 1, "not what the SDK expects"),
    ],
)
def test_what_lasts_is_an_error_with_its_reason_and_without_the_key(
    endpoint: Any, service: Service, script: list[Any], calls: int, words: str
) -> None:
    service.script = list(script)
    ((_, completion),) = endpoint.generate([request(endpoint)])
    assert (completion.text, completion.finish_reason) == ("", "error")
    assert words in completion.error and "secret-key" not in completion.error
    assert len(service.chats) == calls


def test_waiting_as_long_as_asked_holds_nothing_else_up(endpoint: Any, service: Service) -> None:
    service.script = [(429, {"Retry-After": "1"})] * 4
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.run_coroutine_threadsafe(tick(), event_loop())
    began = time.monotonic()
    done = dict(endpoint.generate([request(endpoint, f"number {number}") for number in range(8)]))
    took = time.monotonic() - began
    ticking.cancel()
    assert [done[index].text for index in range(8)] == ["Hello."] * 8
    assert len(service.chats) == 12
    assert took >= 1
    assert ticks > 10, "the event loop stood still"


def test_another_model_under_the_same_name_is_not_recorded_as_the_first(endpoint: Any, service: Service) -> None:
    assert "tiny, really" in endpoint.identity and service.url.removeprefix("http://") in endpoint.identity
    service.fingerprint = "something else"
    ((_, completion),) = endpoint.generate([request(endpoint)])
    assert completion.error is not None and "something else" in completion.error and not completion.text
    assert GoodfireBackend().open(MODEL).identity != endpoint.identity


def test_auto_steer_is_the_services_own_and_one_edit_a_feature(endpoint: Any, service: Service) -> None:
    assert isinstance(endpoint, AutoEditing)
    again = {**described(4), "id": "4" * 32}
    service.edits = [[described(4), 0.5], [described(1), -0.25], [again, 0.125]]
    edits = endpoint.auto_edits("be funny")
    assert [(edit.feature, edit.offset, edit.gain) for edit in edits] == [(4, 0.625, 1.0), (1, -0.25, 1.0)]
    assert str(edits[1]) == "feature 1 -0.25 (label 1)"
    assert {edit.sae for edit in edits} == {endpoint.sae_identity}  # type: ignore[attr-defined]
    ((_, completion),) = endpoint.generate([request(endpoint, edits=edits)])  # type: ignore[attr-defined]
    assert completion.error is None


def test_features_are_counted_found_and_told_apart_from_dead_ones(endpoint: Any) -> None:
    assert endpoint.features == len(LABELS)
    assert [endpoint.label(index) for index in range(endpoint.features)] == LABELS
    assert list(np.flatnonzero(endpoint.scales == 0)) == [0, 3, 6, 9, 12]
    relevance = endpoint.relevance("jokes")
    assert list(np.argsort(-relevance, kind="stable")[:3]) == [4, 2, 7]
    assert relevance[4] == pytest.approx(0.9)


def test_what_is_missing_is_said_with_the_lines_that_start_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOODFIRE_BASE_URL", raising=False)
    with pytest.raises(UnavailableError) as caught:
        GoodfireBackend().open(MODEL)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert "python -m mindgap.ember model=tiny" in lines
    assert "export GOODFIRE_BASE_URL=http://127.0.0.1:8080 GOODFIRE_API_KEY=any" in lines
    monkeypatch.setenv("ELSEWHERE", "http://127.0.0.1:9/")
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 0.01)
    backend = GoodfireBackend(url_env="ELSEWHERE", key_env=None, max_retries=1)
    assert not backend.lacks(MODEL, FEATURES)
    with pytest.raises(UnavailableError, match="no connection") as caught:
        backend.open(MODEL)
    assert "python -m mindgap.ember" in str(caught.value) and "ELSEWHERE" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [("127.0.0.1:8080", "http://"), ("http://me:hidden@127.0.0.1", "a password"), ("http://x/?k=hidden", "a query")],
)
def test_an_address_that_is_none_is_refused(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOODFIRE_BASE_URL", url)
    ((said),) = GoodfireBackend().lacks(MODEL, FEATURES)
    assert words in said and "hidden" not in said


def test_what_the_api_has_not_is_refused_before_anything_is_spent(service: Service) -> None:
    needs: frozenset[Capability] = frozenset({"generate", "residual", "loglikelihood"})
    (said,) = GoodfireBackend().lacks(MODEL, needs)
    assert "log-likelihoods" in said and "steering vectors" in said
    assert "model.goodfire_id" in GoodfireBackend().lacks(ModelSpec("tiny"), FEATURES)[0]
    assert not service.asked


def test_settings_out_of_range_are_refused_by_name() -> None:
    for setting in ({"concurrency": 0}, {"timeout": 0.0}, {"max_retries": -1}):
        with pytest.raises(ConfigError, match=rf"backend\.{next(iter(setting))}"):
            GoodfireBackend(**setting)  # type: ignore[arg-type]
