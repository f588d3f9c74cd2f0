"""What steering by SAE features costs: mixed batches with feature edits against the same batches unsteered.

    python benchmarks/features.py [--rows 256] [--tokens 32] [--rounds 3] [--requests 256]
                                  [--threads 2] [--device cpu] [--sae RELEASE] [--cpu-time]

Every request has its own features: nudged, ablated, or both by turns, all in the same batch; two further lines pin
features, and edit them where another one is active. Requests, prompts and seeds are otherwise those of the unsteered
run, and stop tokens are switched off, so every run makes the same number of tokens. Rounds are short and alternate, the
order turns with each, and the overhead is the median over rounds of the ratio to the unsteered run of the same round.
The SAE is the one of model=tiny, or random in its shape where none is shipped: the cost depends on the shape alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from mindgap.backends.local import LocalBackend, LocalEndpoint
from mindgap.core.edits import Comparison, Condition, Edit, FeatureEdit
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Request
from mindgap.sae.releases import sae_lacks
from mindgap.steering.vectors import contrast_prompts

SHIPPED = "mindgap:tiny"


def random_release(folder: Path, architecture: str) -> str:
    """A file with a random SAE of 8192 features for block 11 of the embedded model; about 40 active at a token."""
    import torch

    from mindgap.sae.native_format import save
    from mindgap.sae.sae import SAE

    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(8192, 576, generator=generator), dim=1)
    sae = SAE(
        identity=f"random-{architecture}",
        layer=11,
        architecture=architecture,  # type: ignore[arg-type]
        encoder=rows,
        encoder_bias=torch.full((8192,), -15.0),
        decoder=rows,
        decoder_bias=torch.zeros(576),
        threshold=torch.full((8192,), 1.0) if architecture == "jumprelu" else None,
        k=32 if architecture == "topk" else None,
    )
    path = folder / f"{architecture}.safetensors"
    save(sae, path)
    return str(path)


def edits_of(kind: str, number: int, endpoint: LocalEndpoint) -> tuple[Edit, ...]:
    """Four edits of features that no other request names, as far as there are enough. Offsets are small: text stays."""
    sae, features = endpoint.sae, [(4 * number + place) % endpoint.features for place in range(4)]

    def edit(feature: int, gain: float, offset: float, when: Condition | None = None) -> FeatureEdit:
        return FeatureEdit(sae.identity, sae.layer, feature, 20.0, None, gain, offset, when=when)

    if kind == "nudge, ablate or both":
        kind = ("nudge", "ablate", "both")[number % 3]
    if kind == "both":
        return tuple(edit(feature, place % 2, 0.1 * (place % 2)) for place, feature in enumerate(features))
    if kind == "conditional":
        seen = [Condition((Comparison((feature + 9) % sae.features, ">", 0.1, 20.0),)) for feature in features]
        return tuple(edit(feature, 1, 0.1, when) for feature, when in zip(features, seen, strict=True))
    gain, offset = {"nudge": (1, 0.1), "ablate": (0, 0.0), "pin": (0, 0.1)}[kind]
    return tuple(edit(feature, gain, offset) for feature in features)


def seconds(endpoint: LocalEndpoint, requests: Sequence[Request], clock: Callable[[], float]) -> float:
    import torch

    began = clock()
    made = sum(completion.completion_tokens or 0 for _, completion in endpoint.generate(requests))
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    assert made == sum(request.decoding.max_tokens for request in requests)
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, not wall time: for a busy machine")
    parser.add_argument("--sae", default=None, help="relu, jumprelu or topk for a random one; else a release")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        release = arguments.sae or ("jumprelu" if sae_lacks(SHIPPED) else SHIPPED)
        if release in ("relu", "jumprelu", "topk"):
            release = random_release(Path(folder), release)
        model = ModelSpec(name="tiny", embedded=True, sae=release)
        endpoint = LocalBackend(device=arguments.device, max_rows=arguments.rows).open(model)
        compare(endpoint, arguments)


def compare(endpoint: LocalEndpoint, arguments: argparse.Namespace) -> None:
    endpoint.engine.stops = frozenset()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    prompts = contrast_prompts(10**6)
    decoding = Decoding(max_tokens=arguments.tokens, temperature=0.6, top_p=0.9)
    plain = [
        Request(endpoint.identity, (Message("user", prompts[number % len(prompts)]),), decoding, number)
        for number in range(arguments.requests)
    ]
    runs = {"unsteered": plain}
    for kind in ("nudge", "ablate", "nudge, ablate or both", "pin", "conditional"):
        runs[kind] = [replace(request, edits=edits_of(kind, number, endpoint)) for number, request in enumerate(plain)]
    for requests in runs.values():  # first use of everything, and of the SAE
        seconds(
            endpoint, [replace(request, decoding=replace(decoding, max_tokens=2)) for request in requests[:8]], clock
        )
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(arguments.rounds):
        names = list(runs)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(seconds(endpoint, runs[name], clock))
            print(f"round {turn + 1}, {name}: {taken[name][-1]:.2f} s", file=sys.stderr, flush=True)
    sae = endpoint.sae
    print(
        f"{arguments.requests} requests × {arguments.tokens} tokens, {arguments.rows} rows, {arguments.rounds} rounds; "
        f"{sae.identity}: {sae.architecture}, {sae.features} features × {sae.d_model}; "
        f"{'processor' if arguments.cpu_time else 'wall'} time"
    )
    print(f"{'':24}{'tokens/s':>10}{'overhead':>10}{'range over rounds':>22}")
    made = arguments.requests * arguments.tokens
    for name, times in taken.items():
        over = [100 * (time / base - 1) for time, base in zip(times, taken["unsteered"], strict=True)]
        print(f"{name:24}{made / median(times):10.1f}{median(over):+9.1f}%{min(over):+12.1f}% to {max(over):+.1f}%")


if __name__ == "__main__":
    main()
