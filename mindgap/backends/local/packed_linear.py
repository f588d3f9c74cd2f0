"""Linear layers on a CPU, their weights in the order in which this processor multiplies fastest.

torch has MKL multiply float32 matrices. On some processors oneDNN is faster by half or by several times when it may
arrange the weights beforehand, on others it is slower. So both are timed once for every shape of layer, and the verdict
is kept in the cache folder: runs that follow compute exactly the same. Products differ by rounding only.
"""

from __future__ import annotations

import logging
import platform
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mindgap.core.keys import content_key
from mindgap.storage.findings import finding

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it when what is timed, or how it is judged, changes."""
ROWS = (64, 512)
"""Tokens of the passes that are timed: a full batch that decodes, and prompts."""
MOST_OPERATIONS = 2e9
"""Of one timed product of more than a full batch; a wider layer is timed with a full batch alone."""
SECONDS, ROUNDS = 0.1, 3
"""A timing takes so long at least, and so many rounds; the best of each way counts."""
FASTER = 1.2
"""Layers are packed where this makes a full batch's products so many times as fast …"""
SLOWER = 0.95
"""… and those of prompts no slower than this."""
SMALLEST = 2**16
"""Weights of the smallest layer that is worth it."""
SPARE = 50
"""A copy of weights that something else reads as well takes at most one part in so many of this machine's memory."""


class PackedLinear(nn.Module):
    """A linear layer as `nn.Linear`, frozen: its weights are kept in oneDNN's order alone."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        with torch.inference_mode(False), torch.no_grad():
            # Not a buffer: such a tensor can neither be copied nor moved nor saved.
            self._packed: Any = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS[0])

    @property
    def weight(self) -> torch.Tensor:
        """float32 `[out_features, in_features]`, put into the usual order anew each time."""
        return self._packed.to_dense()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.requires_grad and torch.is_grad_enabled():
            return _Differentiable.apply(inputs, self)  # type: ignore[no-untyped-call]
        return self.product(inputs)

    def product(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the layer gives, without a gradient."""
        plain = inputs.contiguous()
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(plain, self._packed, self.bias, "none", [], "")
        return product


class _Differentiable(torch.autograd.Function):
    """The product with a gradient with respect to its inputs."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, layer: PackedLinear) -> torch.Tensor:
        ctx.layer = layer
        return layer.product(inputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ ctx.layer.weight, None


def pack(model: nn.Module) -> int:
    """Replace linear layers of a frozen model where that is faster here. How many were replaced.

    Only float32 layers on a CPU are; a layer that shares its weights with another part of the model (a head with the
    embeddings) keeps a second copy of them, if memory is plenty.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return 0
    holders = Counter(id(weight) for _, weight in model.named_parameters(remove_duplicate=False))
    layers = {name: layer for name, layer in model.named_modules() if _can_be_packed(layer)}
    verdicts = {shape: _pays(shape) for shape in dict.fromkeys(map(_shape, layers.values()))}
    replaced = 0
    for name, layer in layers.items():
        if verdicts[_shape(layer)] and (holders[id(layer.weight)] == 1 or _has_room(layer.weight)):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, PackedLinear(layer))
            replaced += 1
    if replaced:
        log.info("%d of %d linear layers are packed for this processor", replaced, len(layers))
    return replaced


def _can_be_packed(layer: nn.Module) -> bool:
    """Exactly the usual layer, as nothing is known of what a subclass does with its weights."""
    if type(layer) is not nn.Linear:
        return False
    weight = layer.weight
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel() >= SMALLEST


def _shape(layer: nn.Linear) -> tuple[int, int]:
    return layer.out_features, layer.in_features


def _has_room(weight: torch.Tensor) -> bool:
    import psutil

    return bool(weight.nbytes <= psutil.virtual_memory().total / SPARE)


def _pays(shape: tuple[int, int]) -> bool:
    """Whether layers of this shape are faster packed: as it was found before, else by timing.

    What cannot be kept is not packed: the next run might find otherwise and compute other last digits.
    """
    about = {"processor": _processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    key = content_key("packing", shape=shape, version=VERSION, **about)
    try:
        return finding("packing", key, lambda: _timed(shape))["packed"] is True
    except OSError as error:
        log.info("no linear layer is packed: the verdict cannot be kept (%s)", error)
        return False


def _timed(shape: tuple[int, int]) -> dict[str, Any]:
    """The verdict on layers of this shape, and what it rests on."""
    fitting = [rows for rows in ROWS if rows == ROWS[0] or 2 * rows * shape[0] * shape[1] <= MOST_OPERATIONS]
    gains = {rows: _gain(shape, rows) for rows in fitting}
    return {"packed": gains[ROWS[0]] >= FASTER and min(gains.values()) >= SLOWER, "times as fast": gains}


def _gain(shape: tuple[int, int], rows: int) -> float:
    """How many times as fast a product of so many rows is with packed weights."""
    outputs, inputs = shape
    usual = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False).requires_grad_(False)  # type: ignore[no-untyped-call]
    usual.weight.fill_(0.01)
    packed, x = PackedLinear(usual), torch.full((rows, inputs), 0.5)
    plain: list[float] = []
    arranged: list[float] = []
    while len(plain) < ROUNDS or sum(plain) + sum(arranged) < SECONDS:
        plain.append(_seconds(lambda: usual(x)))
        arranged.append(_seconds(lambda: packed(x)))
    return min(plain) / min(arranged)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@cache
def _processor() -> str:
    """Which kind of processor this is: a cache folder may be shared by machines."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{platform.machine()} {platform.processor()} {torch.backends.cpu.get_cpu_capability()}"
