"""Where the plugin takes hold of vLLM (written for 0.32, V1 model runner), each place once a process.

- `InputProcessor.process_inputs`: a request whose program cannot be run is answered with status 400. An exception in a
  worker would end the whole server.
- `Request.__init__`: the program becomes part of the cache salt, so that no client can forget it: blocks of keys and
  values that were computed under steering are found by requests under the same steering only.
- `load_model` of both runners: every block gets a `Point`, before the model is compiled.
- `_prepare_inputs`: says what each token of the pass points at. `_dummy_run`: that nothing is steered.
- `get_system_fingerprint`: every reply tells that the plugin is there; a client refuses one that does not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from mindgap_vllm.board import Batch, Board
from mindgap_vllm.fields import ProgramError
from mindgap_vllm.version import VERSION
from mindgap_vllm.wire import Limits, read_program, salt_of, text_of

SETTINGS = "mindgap"
"""Of the plugin, in vLLM's `--additional-config`."""
BLOCK_LISTS = ("layers", "h", "blocks")
"""What models call the list of their blocks."""
ARMED = "mindgap armed"
"""Put there by the plugin itself."""
MARK = f"mindgap-vllm/{VERSION}"
"""What replies say at the end of `system_fingerprint`."""


def attach() -> None:
    """Wrap what the module names, unless it is wrapped."""
    from vllm.entrypoints.serve.utils import fingerprint
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.request import Request
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    _wrap(InputProcessor, "process_inputs", _checking)
    _wrap(Request, "__init__", _salting)
    for runner in (GPUModelRunner, CPUModelRunner):
        _wrap(runner, "load_model", _attaching_points)
    _wrap(GPUModelRunner, "_prepare_inputs", _preparing)
    _wrap(GPUModelRunner, "_dummy_run", _unsteered)
    _wrap(fingerprint, "get_system_fingerprint", _marking)


def _wrap(owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = vars(owner).get(name)
    if original is None:
        raise RuntimeError(
            f"mindgap-vllm {VERSION} is written for vLLM 0.32, and this vLLM has no {owner.__name__}.{name}: take that "
            "version, or start the server without the plugin (and without steering)"
        )
    if not hasattr(original, "mindgap"):
        wrapped = functools.wraps(original)(wrapper(original))
        wrapped.mindgap = True  # type: ignore[attr-defined]
        setattr(owner, name, wrapped)


def limits_of(config: Any) -> Limits:
    """Room a request in a server of this configuration (vLLM's)."""
    given = dict((config.additional_config or {}).get(SETTINGS, {}))
    known = {"version", "sums", "vectors", "reads", "changes", "comparisons", "change_layers"}
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"additional_config.{SETTINGS} has no {unknown[0]!r}; there are {', '.join(sorted(known))}")
    if given.pop("version", VERSION) != VERSION:
        raise ValueError(f"the server was started for another version of mindgap-vllm; {VERSION} is installed")
    layers = given.pop("change_layers", None)
    return Limits(
        width=config.model_config.get_hidden_size(),
        layers=config.model_config.get_total_num_hidden_layers(),
        change_layers=None if layers is None else frozenset(layers),
        **given,
    )


def refusals(config: Any) -> list[str]:
    """Settings of vLLM under which steering was never tried."""
    parallel, compilation = config.parallel_config, config.compilation_config
    wrong = {
        "version of mindgap-vllm in --additional-config (compiled graphs are cached by it)": "version"
        not in (config.additional_config or {}).get(SETTINGS, {}),
        "pipeline parallelism (use tensor parallelism, or several servers)": parallel.pipeline_parallel_size > 1,
        "data parallelism (start several servers)": parallel.data_parallel_size > 1,
        "microbatching (--enable-dbo)": parallel.enable_dbo or parallel.ubatch_size > 1,
        "prefill context parallelism": parallel.prefill_context_parallel_size > 1,
        "decode context parallelism": parallel.decode_context_parallel_size > 1,
        "sequence parallelism (pass_config.enable_sp)": bool(getattr(compilation.pass_config, "enable_sp", False)),
        "speculative decoding": config.speculative_config is not None,
        "the V2 model runner (set VLLM_USE_V2_MODEL_RUNNER=0)": config.use_v2_model_runner,
    }
    missing = [name for name, there in wrong.items() if there]
    return [
        f"no {name}" if name.startswith("version") else f"steering under {name} was never tried" for name in missing
    ]


# -- on the way in -----------------------------------------------------------------------------------------------------


def _checking(original: Callable[..., Any]) -> Callable[..., Any]:
    def process_inputs(self: Any, request_id: str, prompt: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        from vllm.exceptions import VLLMValidationError

        try:
            text = text_of(getattr(params, "extra_args", None))
            if text is not None:
                read_program(text, limits_of(self.vllm_config))
        except ProgramError as error:
            raise VLLMValidationError(f"mindgap: {error}") from error
        return original(self, request_id, prompt, params, *args, **kwargs)

    return process_inputs


def _salting(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        call = signature.bind(self, *args, **kwargs)
        params = call.arguments.get("sampling_params")
        text = text_of(getattr(params, "extra_args", None))
        if text is not None:
            own = call.arguments.get("cache_salt")
            call.arguments["cache_salt"] = salt_of(text) if own is None else f"{own}|{salt_of(text)}"
        original(*call.args, **call.kwargs)

    return __init__


def _marking(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_system_fingerprint(vllm_config: Any) -> str:
        own = original(vllm_config)
        return f"{own}+{MARK}" if own else MARK

    return get_system_fingerprint


# -- in the worker -----------------------------------------------------------------------------------------------------


def _attaching_points(original: Callable[..., Any]) -> Callable[..., Any]:
    def load_model(self: Any, *args: Any, **kwargs: Any) -> None:
        config = self.vllm_config
        if refused := refusals(config):
            raise ValueError(f"mindgap-vllm: {'; '.join(refused)}")
        original(self, *args, **kwargs)
        limits = limits_of(config)
        blocks = _blocks(self.get_model(), limits.layers)
        board = Board(
            limits,
            sequences=config.scheduler_config.max_num_seqs,
            tokens=max(self.max_num_tokens, *(config.compilation_config.cudagraph_capture_sizes or [0])),
            device=self.device,
            dtype=config.model_config.dtype,
            eager=config.model_config.enforce_eager,
        )
        for block, point in zip(blocks, board.points, strict=True):
            # a part of the block, found by its name: what was compiled is loaded by other processes, with other tables
            block.mindgap_point = point
            block.register_forward_hook(_steer)
        self.mindgap_board = board
        # Compiled models are cached by this: one of a server that was not armed would leave everything unsteered.
        config.additional_config[ARMED] = VERSION

    return load_model


def _steer(block: Any, args: Any, output: Any) -> Any:
    return block.mindgap_point(output)


def _blocks(model: Any, count: int) -> Any:
    """The list of the model's blocks. Raises ValueError where there is not exactly one such list."""
    from torch import nn

    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and name.rpartition(".")[2] in BLOCK_LISTS
    ]
    if len(found) != 1:
        raise ValueError(
            f"mindgap-vllm: {type(model).__name__} has {len(found)} lists of {count} blocks, and steering needs one. "
            "Serve it without the plugin, or another model"
        )
    return found[0]


def _preparing(original: Callable[..., Any]) -> Callable[..., Any]:
    def _prepare_inputs(self: Any, scheduler_output: Any, num_scheduled_tokens: np.ndarray, *args: Any) -> Any:
        prepared = original(self, scheduler_output, num_scheduled_tokens, *args)
        count = self.input_batch.num_reqs
        requests = self.input_batch.req_ids[:count]
        params = ((request, self.requests[request].sampling_params) for request in requests)
        texts = ((request, text_of(getattr(given, "extra_args", None))) for request, given in params)
        self.mindgap_board.prepare(
            Batch(
                requests=requests,
                programs={request: text for request, text in texts if text is not None},
                computed=self.input_batch.num_computed_tokens_cpu[:count],
                scheduled=num_scheduled_tokens[:count],
            )
        )
        return prepared

    return _prepare_inputs


def _unsteered(original: Callable[..., Any]) -> Callable[..., Any]:
    def _dummy_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.mindgap_board.clear()
        return original(self, *args, **kwargs)

    return _dummy_run
