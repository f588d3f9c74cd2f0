"""`python -m mindgap.serve`: the commands that it starts servers by, and what it refuses before it starts any."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mindgap.core.errors import ConfigError
from mindgap.serve.settings import PYTHON_VARIABLE, read


def words(replica: int = 0, **settings: str) -> list[str]:
    given = read({"python": "/vllm/bin/python", **settings})
    return given.command(replica, folder="/models/m", name="m@1/float32/mindgap-vllm-0.1.0", version="0.1.0")


def flag(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_a_server_is_started_by_its_module_with_all_that_steering_needs() -> None:
    command = words()
    # the `vllm` command imports packages that a CPU build cannot
    assert command[:3] == ["/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    assert flag(command, "--served-model-name") == "m@1/float32/mindgap-vllm-0.1.0"
    # compiled graphs are cached by it
    assert json.loads(flag(command, "--additional-config"))["mindgap"]["version"] == "0.1.0"
    environment = read({}).environment(0)
    assert environment["MINDGAP_VLLM"] == "1" and environment["VLLM_USE_V2_MODEL_RUNNER"] == "0"


def test_a_model_is_compiled_for_gpus_and_on_a_cpu_when_that_is_asked_for() -> None:
    assert "--enforce-eager" in words() and "--enforce-eager" in words(gpus="1", eager="true")
    assert "--enforce-eager" not in words(eager="false") and "--enforce-eager" not in words(gpus="1")


def test_room_for_edits_is_the_plugins() -> None:
    told = json.loads(flag(words(sums="40", change_layers="3, 5"), "--additional-config"))["mindgap"]
    assert (told["sums"], told["change_layers"]) == (40, [3, 5])
    assert "change_layers" not in json.loads(flag(words(), "--additional-config"))["mindgap"]


def test_replicas_share_gpus_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    settings = read({"gpus": "4", "replicas": "2", "port": "9000"})
    assert [settings.environment(replica)["CUDA_VISIBLE_DEVICES"] for replica in (0, 1)] == ["4,5", "6,7"]
    command = words(1, gpus="4", replicas="2", port="9000")
    assert flag(command, "--tensor-parallel-size") == "2" and flag(command, "--port") == "9001"
    assert flag(command, "--dtype") == "bfloat16" and flag(words(), "--dtype") == "float32"
    assert settings.urls == ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpus": "3", "replicas": "2"}, "shared evenly"),
        ({"port": "65536"}, "below 65536"),
        ({"replicas": "0"}, "replicas must be at least 1"),
        ({"dtype": "int8"}, "choose auto"),
        ({"host": "0.0.0.0"}, "clients must need a key"),
        ({"api_key_env": "MINDGAP_NO_SUCH_KEY"}, "not set"),
        ({"change_layers": "some"}, "numbers of blocks"),
        ({"eager": "yes"}, "choose auto, true or false"),
        ({"show": "yes"}, "true or false"),
        ({"sums": "many"}, "a whole number"),
    ],
)
def test_what_cannot_be_started_is_refused_in_words(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(settings)


def test_without_a_python_it_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="python=/path/to"):
        _ = read({}).interpreter


def test_a_key_is_told_to_the_server_by_its_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_KEY", "s3cret")
    settings = read({"python": "p", "host": "0.0.0.0", "api_key_env": "VLLM_KEY"})
    assert settings.environment(0)["VLLM_API_KEY"] == "s3cret"
    assert "s3cret" not in " ".join(settings.command(0, folder="f", name="n", version="0"))
