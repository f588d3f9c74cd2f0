"""What the plugin asks of a server's configuration, and how it takes hold of vLLM: without vLLM, and in its own."""

from __future__ import annotations

import json
import os
import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from vllm_servers import NEEDS_VLLM, VARIABLE

torch = pytest.importorskip("torch")

from mindgap_vllm.attach import _wrap, limits_of, refusals  # noqa: E402
from mindgap_vllm.bank import Bank, BankFullError  # noqa: E402
from mindgap_vllm.version import VERSION  # noqa: E402

UNTRIED: dict[str, dict[str, Any]] = {
    "pipeline parallelism": {"pipeline_parallel_size": 2},
    "data parallelism": {"data_parallel_size": 2},
    "microbatching": {"enable_dbo": True},
    "prefill context parallelism": {"prefill_context_parallel_size": 2},
    "decode context parallelism": {"decode_context_parallel_size": 2},
    "sequence parallelism": {"enable_sp": True},
    "speculative decoding": {"speculative_config": object()},
    "the V2 model runner": {"use_v2_model_runner": True},
}


def config(*, additional: dict[str, Any] | None = None, **change: Any) -> Any:
    """A server's configuration, as far as the plugin reads it."""
    sizes = ("pipeline", "data", "prefill_context", "decode_context")
    parallel = {**{f"{name}_parallel_size": 1 for name in sizes}, "enable_dbo": False, "ubatch_size": 1, **change}
    model = SimpleNamespace(get_hidden_size=lambda: 8, get_total_num_hidden_layers=lambda: 4)
    return SimpleNamespace(
        additional_config={"mindgap": {"version": VERSION}} if additional is None else additional,
        model_config=model,
        parallel_config=SimpleNamespace(**parallel),
        compilation_config=SimpleNamespace(pass_config=SimpleNamespace(enable_sp=change.get("enable_sp", False))),
        speculative_config=change.get("speculative_config"),
        use_v2_model_runner=change.get("use_v2_model_runner", False),
    )


def test_what_was_never_tried_is_refused_by_name() -> None:
    assert refusals(config()) == []
    for name, change in UNTRIED.items():
        (said,) = refusals(config(**change))
        assert name in said and "never tried" in said


def test_a_compiled_graph_is_cached_under_the_plugins_version() -> None:
    (said,) = refusals(config(additional={}))
    assert "version of mindgap-vllm" in said
    with pytest.raises(ValueError, match="another version"):
        limits_of(config(additional={"mindgap": {"version": "0.0.1"}}))


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no 'sum'"):
        limits_of(config(additional={"mindgap": {"version": VERSION, "sum": 3}}))
    limits = limits_of(config(additional={"mindgap": {"version": VERSION, "sums": 3, "change_layers": [2]}}))
    assert (limits.width, limits.layers, limits.sums, limits.allows_changes(1)) == (8, 4, 3, False)


def test_another_vllm_is_refused_not_half_wrapped() -> None:
    class Runner:
        def load_model(self) -> str:
            return "loaded"

    _wrap(Runner, "load_model", lambda original: lambda self: f"{original(self)}, steered")
    _wrap(Runner, "load_model", lambda original: lambda self: f"{original(self)}, twice")
    assert Runner().load_model() == "loaded, steered"
    with pytest.raises(RuntimeError, match=r"no Runner\.prepare"):
        _wrap(Runner, "prepare", lambda original: original)


def test_a_full_bank_fails_loudly() -> None:
    bank = Bank(2, 4, torch.device("cpu"), torch.float32)
    vectors = np.eye(4, dtype=np.float32)
    first = bank.take(vectors[0])
    assert bank.take(vectors[1]) != first and bank.take(vectors[0]) == first
    with pytest.raises(BankFullError, match="all 2 rows for steering vectors are taken"):
        bank.take(vectors[2])
    bank.give(first)
    with pytest.raises(BankFullError):  # another request still holds it
        bank.take(vectors[2])
    bank.give(first)
    assert bank.take(vectors[2]) == first


IN_VLLM = """
import json, sys
from mindgap_vllm.attach import refusals
from vllm.engine.arg_utils import EngineArgs
said = {}
for name, change in json.loads(sys.argv[1]).items():
    config = EngineArgs(model=sys.argv[2], dtype="float32", **change).create_engine_config()
    said[name] = refusals(config)
print(json.dumps(said))
"""
"""A program in vLLM's environment: what the plugin says of configurations that vLLM itself makes."""


@pytest.mark.vllm
@NEEDS_VLLM
def test_vllms_own_configurations_are_read() -> None:
    from mindgap.backends.local.embedded import embedded_model

    known = {"additional_config": {"mindgap": {"version": VERSION}}}
    asked = {
        "fine": known,
        "without a version": {},
        "pipeline": {**known, "pipeline_parallel_size": 2, "distributed_executor_backend": "mp"},
    }
    environment = {**os.environ, "VLLM_USE_V2_MODEL_RUNNER": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    command = [os.environ[VARIABLE], "-c", IN_VLLM, json.dumps(asked), str(embedded_model().path)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["fine"] == []
    assert "version of mindgap-vllm" in said["without a version"][0]
    assert "pipeline parallelism" in said["pipeline"][0]
