"""No secret gets into what is saved, and nothing else is lost to the search for them."""

from __future__ import annotations

import pytest

from mindgap.results.masking import MASK, looks_secret, mask_secrets, mask_text


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
