"""`backend=vllm` as a client, against scripted servers: where requests go when servers fail, and what is never taken.

What real servers answer is in `tests/vllm_plugin`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_server import ChatServer, Reply
from processes import closed_port

from mindgap.backends.vllm import VllmBackend
from mindgap.backends.vllm.served import parts_of, served_name
from mindgap.backends.vllm.servers import Server, Servers
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.providers.http import Trouble
from mindgap.providers.loop import run_each

SIGNED = "vllm-0.32.0-abc+mindgap-vllm/0.1.0"


def answer(text: str, fingerprint: str | None = SIGNED, **reply: Any) -> Reply:
    choice = {"text": text, "token_ids": [1], "finish_reason": "stop"}
    body = {"choices": [choice], "system_fingerprint": fingerprint, "usage": {"prompt_tokens": 3}}
    return Reply(body=json.dumps(body), **reply)


@pytest.fixture
def pair() -> Iterator[tuple[ChatServer, ChatServer]]:
    servers = ChatServer(), ChatServer()
    yield servers
    for server in servers:
        server.close()


def fleet(*servers: ChatServer, concurrency: int = 4, max_retries: int = 2) -> Servers:
    urls = [server.url.removesuffix("/v1") for server in servers]
    return Servers(
        [Server(url) for url in urls], concurrency, 30.0, max_retries, model="m", signature="mindgap-vllm/0.1.0"
    )


def ask(servers: Servers, count: int) -> list[str]:
    async def one(number: int) -> str:
        return (await servers.complete({"prompt": [number], "max_tokens": 1}))["text"]

    most = servers.concurrency * len(servers.servers)
    return [text for _, text in sorted(run_each(one, range(count), most))]


def test_requests_are_shared_and_no_server_gets_more_than_it_may_have(pair: tuple[ChatServer, ChatServer]) -> None:
    for server in pair:
        server.answer = lambda body: answer(str(body["prompt"][0]), delay=0.01)
    assert ask(fleet(*pair), 40) == [str(number) for number in range(40)]
    assert all(len(server.asked) >= 10 and server.most_at_once <= 4 for server in pair)
    assert all(body["model"] == "m" for server in pair for body, _ in server.asked)


@pytest.mark.parametrize(
    "bad",
    [
        lambda body: answer("from the bad one", status=500),
        lambda body: answer("unsteered", fingerprint="vllm-0.32.0-abc"),
        lambda body: answer("unsteered", fingerprint=None),
        lambda body: answer("another plugin", fingerprint="mindgap-vllm/0.2.0"),
        lambda body: answer("a later plugin", fingerprint="mindgap-vllm/0.1.0.1"),
        lambda body: Reply(body="no JSON"),
        lambda body: Reply(body='{"error": {"message": "The model `m` does not exist."}}', status=404),
    ],
    ids=[
        "broken",
        "without the plugin",
        "without a fingerprint",
        "other plugin",
        "later plugin",
        "no JSON",
        "another model",
    ],
)
def test_what_a_bad_server_says_is_never_taken(
    pair: tuple[ChatServer, ChatServer], bad: Callable[[dict[str, Any]], Reply]
) -> None:
    good, other = pair
    good.answer, other.answer = (lambda body: answer(str(body["prompt"][0]))), bad
    assert ask(fleet(good, other), 20) == [str(number) for number in range(20)]
    assert len(good.asked) == 20 and len(other.asked) >= 1


def test_a_server_that_is_gone_costs_nothing(chat_server: ChatServer) -> None:
    chat_server.answer = lambda body: answer(str(body["prompt"][0]))
    servers = fleet(chat_server)
    servers.servers = [Server(f"http://127.0.0.1:{closed_port()}"), *servers.servers]
    assert ask(servers, 20) == [str(number) for number in range(20)]
    assert servers.servers[0].failed >= 1 and servers.servers[0].answered == 0


def test_a_server_that_comes_back_works_again(pair: tuple[ChatServer, ChatServer]) -> None:
    good, other = pair
    servers = fleet(good, other)
    good.answer = lambda body: answer(str(body["prompt"][0]), delay=0.01)
    other.answer = lambda body: answer("x", status=503)
    assert ask(servers, 20) == [str(number) for number in range(20)]
    other.answer = lambda body: answer(str(body["prompt"][0]), delay=0.01)
    servers.servers[1].rests_until = 0.0  # its rest is over
    assert ask(servers, 40) == [str(number) for number in range(40)]
    assert servers.servers[1].answered > 10 and servers.servers[1].failed == 0


def test_a_request_at_fault_is_asked_once(pair: tuple[ChatServer, ChatServer]) -> None:
    for server in pair:
        server.answer = lambda body: Reply(body='{"error": {"message": "mindgap: takes 20 sums"}}', status=400)
    with pytest.raises(Trouble, match="takes 20 sums"):
        ask(fleet(*pair), 1)
    assert sum(len(server.asked) for server in pair) == 1


def test_nothing_is_asked_for_ever(chat_server: ChatServer) -> None:
    chat_server.answer = lambda body: answer("x", status=500, headers={"retry-after": "0"})
    with pytest.raises(Trouble, match=r"500 .*after 3 calls"):
        ask(fleet(chat_server), 1)
    assert len(chat_server.asked) == 3


def test_what_is_missing_is_said_before_anything_is_spent() -> None:
    (missing,) = VllmBackend().lacks(ModelSpec("some", hf_id=None, embedded=True), frozenset({"generate"}))
    assert "python -m mindgap.serve model=some" in missing
    backend = VllmBackend(("http://127.0.0.1:1",), timeout=5)
    with pytest.raises(UnavailableError, match="no server answers for model=tiny"):
        backend.open(ModelSpec("tiny", embedded=True))


@pytest.mark.parametrize(
    ("urls", "said"),
    [(("ftp://x",), "no address"), (("http://a:1", "http://a:1/v1/"), "twice"), (("http://k@a:1",), "no secret")],
)
def test_addresses_that_cannot_be_are_refused(urls: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VllmBackend(urls)


def test_a_served_name_says_which_weights() -> None:
    name = served_name("org/model@abc", "bfloat16", "0.1.0")
    assert parts_of(name) == ("org/model@abc", "bfloat16", "0.1.0")
    for other in ("tiny", "org/model/float32", "a/float32/mindgap-vllm"):
        with pytest.raises(UnavailableError, match="which weights"):
            parts_of(other)


def test_what_is_read_here_is_the_local_engines_and_what_is_said_is_not(tiny: Any) -> None:
    from mindgap.backends.local.load import describe
    from mindgap.backends.vllm.endpoint import VllmEndpoint

    spec = ModelSpec("tiny", embedded=True)
    backend, described = VllmBackend(("http://127.0.0.1:1",)), describe(spec)
    name = served_name(described.identity, "float32", "0.1.0")
    servers = Servers([Server("http://127.0.0.1:1")], 1, 1.0, 0, model=name)
    served = VllmEndpoint(backend, spec, described, servers, context=64)
    assert served.read_as == tiny.identity == tiny.read_as  # a vector that was made here is not made again
    assert served.identity != tiny.identity and name in served.identity  # vLLM draws other numbers for the same seed
    coarse = VllmEndpoint(VllmBackend(backend.urls, dtype="bfloat16"), spec, described, servers, context=64)
    assert coarse.read_as not in (served.read_as, coarse.identity) and coarse.identity == served.identity
