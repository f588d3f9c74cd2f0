"""Whether a server is there is known in seconds, whatever is there instead."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from standin import serving

from mindgap.tracking.probe import unreachable


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_answers_is_reachable_even_if_it_says_no() -> None:
    with serving() as standin:
        assert unreachable(standin.url, 5) is None


def test_a_proxy_is_used_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert unreachable("http://server.invalid", 5) is None


def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    why = unreachable(f"http://127.0.0.1:{port}", 5)
    assert why is not None
    assert str(port) in why


def test_silence_is_unreachable_when_time_is_up(silent_server: str) -> None:
    assert unreachable(silent_server, 0.3) == f"{silent_server} does not answer within 0.3 s"
