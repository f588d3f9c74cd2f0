"""No secret gets into what is saved, and nothing else is lost to the search for them."""

from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

import pytest

from mindgap.core.errors import UnavailableError, first_line
from mindgap.core.records import Completion, OptionScores, Score
from mindgap.core.secrets import MASK, excerpt, learn, looks_secret, mask_argument, mask_secrets, mask_text

KEY = """pass-phrase/with+=&"'<é and more"""


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apikey",
        "apiKey",
        "API-KEY",
        "hf_token",
        "token",
        "HF_TOKEN",
        "WANDB_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "password",
        "dbPassword",
        "PGPASSWORD",
        "client_secret",
        "secrets",
        "api_keys",
        "Authorization",
        "credentials",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "prompt_tokens",
        "keys",
        "api_key_env",
        "token_limit",
        "secret_file",
        "monkey",
        "author",
        "turkey",
        "TOKENIZERS_PARALLELISM",
        "SSH_AUTH_SOCK",
        "pass",
        "method",
        "1",
    ],
)
def test_names_of_ordinary_settings(name: str) -> None:
    assert not looks_secret(name)


def test_a_secret_is_masked_by_its_key_at_any_depth() -> None:
    config = {"judge": {"api_key": "abc", "headers": [{"token": "t"}]}, "secrets": {"a": [1, "b"]}, "password": 12345}
    assert mask_secrets(config) == {
        "judge": {"api_key": MASK, "headers": [{"token": MASK}]},
        "secrets": {"a": [MASK, MASK]},
        "password": MASK,
    }


def test_ordinary_settings_stay_as_they_are() -> None:
    config = {
        "decoding": {"max_tokens": 256, "top_p": 0.9},
        "judge": {"api_key": None, "api_key_env": "OPENAI_API_KEY", "token": ""},
        "url": "https://example.org/v1?limit=3",
        "tags": ["a", "sk-short"],
    }
    assert mask_secrets(config) == config


def test_the_value_of_a_secret_variable_is_masked_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse")
    monkeypatch.setenv("SOME_LONGER_TOKEN", "correct-horse-battery")
    monkeypatch.setenv("SOME_OTHER_KEY", "no")
    config = {"note": "correct-horse", "extra": ["say correct-horse-battery now"], "answer": "no"}
    assert mask_secrets(config) == {"note": MASK, "extra": [f"say {MASK} now"], "answer": "no"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://me:hunter2@host/v1", f"https://{MASK}@host/v1"),
        ("https://host/v1?api_key=abc&limit=3", f"https://host/v1?api_key={MASK}&limit=3"),
        ("wrong key: sk-proj-abcdefghijklmnop.", f"wrong key: {MASK}."),
        ("Authorization: Bearer abcdefgh.ijkl", f"Authorization: Bearer {MASK}"),
        ("from hf_abcdefghijklmnop", f"from {MASK}"),
        ("https://me:hunt@er2@host/v1", f"https://{MASK}@host/v1"),
        ("https://host/v1?limit=3&sig=abc&apiKey=def", f"https://host/v1?limit=3&sig={MASK}&apiKey={MASK}"),
        ("Authorization: Basic YWxhZGRpbjpvcGVu", f"Authorization: Basic {MASK}"),
        ("mail a:b@c and https://host:8080/x@y", "mail a:b@c and https://host:8080/x@y"),
    ],
)
def test_secrets_inside_text(text: str, left: str) -> None:
    assert mask_text(text) == left


def test_masking_leaves_the_original_alone_and_masks_no_mask() -> None:
    config = {"judge": {"api_key": "abc"}, "url": "https://me:hunter2@host"}
    once = mask_secrets(config)
    assert config["judge"] == {"api_key": "abc"}
    assert mask_secrets(once) == once


def test_the_working_directory_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/somebody/studies")
    assert mask_text("written to /home/somebody/studies/outputs") == "written to /home/somebody/studies/outputs"


WAYS = {
    "as it is": str,
    "in a URL": lambda key: quote(key, safe=""),
    "in a form": quote_plus,
    "every character percent-encoded": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "encoded twice": lambda key: quote(quote(key, safe=""), safe=""),
    "hyphen too": lambda key: quote(key, safe="").replace("-", "%2D"),
    "in JSON": json.dumps,
    "in JSON, in characters of any script": lambda key: json.dumps(key, ensure_ascii=False),
    "in JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "escaped slashes": lambda key: json.dumps(key).replace("/", "\\/"),
    "in HTML": html.escape,
    "in numbered entities": lambda key: "".join(f"&#{ord(character)};" for character in key),
    "as Python shows it": repr,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_known_secret_is_masked_however_it_is_written(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    masked = mask_text(f"before {WAYS[way](KEY)} after")
    assert masked.startswith("before ") and masked.endswith(" after") and MASK in masked
    assert not any(part in masked for part in ("phrase", "more", "70", "112"))


def test_what_a_key_env_names_is_secret_whatever_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ACCESS", "correct-horse")
    learn({"judge": {"members": [{"key_env": "MY_ACCESS", "other_env": "HOME"}]}})
    assert mask_text("401: correct-horse is wrong") == f"401: {MASK} is wrong"


def test_what_secret_settings_and_addresses_hold_is_masked_in_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    learn({"judge": {"api_key": "staple-battery"}, "hub": "https://me:tr%40ubador@host/?token=pony%2Dexpress"})
    monkeypatch.setenv("SOME_PROXY", "http://me:hunter2@proxy")
    for secret in ("staple-battery", "tr@ubador", "tr%40ubador", "pony-express", "hunter2"):
        assert mask_text(f"it said {secret}.") == f"it said {MASK}."


def test_every_message_is_masked_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "correct-horse")
    said = "401 for correct-horse"
    assert str(UnavailableError(said)) == first_line(ValueError(said)) == f"401 for {MASK}"
    assert Completion("", "error", error=said).error == f"401 for {MASK}"
    assert OptionScores((), (), said).error == Score(None, said).missing == f"401 for {MASK}"
    assert Completion(said, "stop").text == said, "what a model replies is data"


def test_no_cut_leaves_half_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "correct-horse")
    assert excerpt("wrong: correct-horse", 12) == f"wrong: {MASK}"
    assert excerpt("a" * 20, 12) == "a" * 12 + "…"


def test_a_command_line_keeps_its_words_and_no_secret() -> None:
    words = ["judge=llm", "+judge.api_key=ab", "judge.key_env=SOME_KEY", "task.max_tokens=3", "u=http://a:b@c"]
    kept = ["judge=llm", f"+judge.api_key={MASK}", "judge.key_env=SOME_KEY", "task.max_tokens=3", f"u=http://{MASK}@c"]
    assert list(map(mask_argument, words)) == kept


@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", ["\\", "%25", "://a:", "?a", "&#0", "a-key"])
def test_no_text_takes_long_to_mask(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "a-key\\of-some-length")
    assert mask_text(part * 10**5) == part * 10**5
