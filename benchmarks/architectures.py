"""Which architectures of transformers does the local backend run, and are its numbers those of plain forward passes?

    python benchmarks/architectures.py                          # every causal LM that transformers knows
    python benchmarks/architectures.py gemma3_text gpt_oss      # some
    python benchmarks/architectures.py --markdown docs/models.md

Of each architecture a model of 4 blocks with random weights is built (float32; windows of 16 tokens, so that texts
overstep them) and opened as a user's model is: with the trial of `mindgap.backends.local.trial`. Then 12 requests of 12
lengths under 5 steerings are generated in 3 slots, their options are scored and their residuals read, and every number
is compared with forward passes of transformers alone, one row at a time, steered by a hook. Each architecture has a
process and a time limit of its own. `--markdown` writes the table between the markers of a page.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import string
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from mindgap.backends.local.block_output import stream_of, with_stream
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import response_residuals
from mindgap.backends.local.rows import Row
from mindgap.backends.local.scoring import loglikelihood
from mindgap.backends.local.session import open_session
from mindgap.backends.local.steering import NotSteeredError
from mindgap.backends.local.trial import WAYS, try_out
from mindgap.core.edits import AddVector
from mindgap.core.errors import MindgapError
from mindgap.core.records import Decoding, Message, OptionsRequest

EQUAL, BY_ROW, REFUSED, NOT_BUILT = "equal", "equal, row by row", "refused when opened", "could not be built here"
PARTLY = "refused where a block does not run"
WRONG, BROKEN, SLOW = "WRONG", "TRACEBACK", "TOO SLOW"
VERDICTS = (EQUAL, BY_ROW, PARTLY, REFUSED, NOT_BUILT, WRONG, BROKEN, SLOW)
TOLERANCE = 1e-4
"""Largest difference of a number, over the largest of its kind (at least 1)."""
VOCABULARY, LARGEST = 120, 30_000_000
SLOTS, NEW_TOKENS = 3, 5
OPTIONS = ("yes", "no, or so it was said", "maybe")
START, END = (
    "<!-- table of benchmarks/architectures.py: begin -->",
    "<!-- table of benchmarks/architectures.py: end -->",
)

SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "embedding_size", "hidden_dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 4),
    **dict.fromkeys(("num_decoder_layers", "num_encoder_layers", "depth"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_query_groups", "multi_query_group_num"), 2),
    "head_dim": 16,
    **dict.fromkeys(("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "n_inner", "dff"), 96),
    **dict.fromkeys(("ffn_hidden_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 96),
    **dict.fromkeys(("moe_intermediate_size", "dense_intermediate_size", "moe_shared_expert_intermediate_size"), 48),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "decoder_vocab_size", "src_vocab_size"), VOCABULARY),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts", "num_experts_per_token"), 2),
    **dict.fromkeys(
        ("n_group", "topk_group", "n_shared_experts", "first_k_dense_replace", "moe_num_shared_experts"), 1
    ),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_target_positions", "max_seq_len"), 256),
    **dict.fromkeys(("max_source_positions", "max_sequence_length", "seq_length"), 256),
    **dict.fromkeys(("sliding_window", "attention_chunk_size", "window_size", "attention_window_size"), 16),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), 16),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 16),
    **dict.fromkeys(("linear_num_key_heads",), 2),
    **dict.fromkeys(("linear_num_value_heads",), 4),
    **dict.fromkeys(("state_size", "mamba_d_state", "ssm_state_size"), 8),
    **dict.fromkeys(("mamba_n_heads", "n_mamba_heads", "mamba_num_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 16),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size"), 8),
    **dict.fromkeys(("time_step_rank", "mamba_dt_rank"), 4),
    "lru_width": 64,
    "hidden_size_per_layer_input": 16,
    "rotary_dim": 8,
    "is_decoder": True,
    "initializer_range": 0.2,
}
"""Sizes by the names that configurations give them; only names that a configuration has are set."""

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LATENT_ATTENTION = (
    *("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots3_note", "dots3_note_text"),
    *("glm4_moe_lite", "glm_moe_dsa", "kimi_linear", "minicpm3", "youtu"),
)
"""Architectures whose heads share latent keys: they have as many key heads as heads."""
SPECIAL: dict[str, dict[str, Any]] = {
    **{name: {"num_key_value_heads": 4} for name in LATENT_ATTENTION},
    "bailing_hybrid": {"num_key_value_heads": 4, "num_expert_group": 1, "linear_head_dim": 16, "linear_num_heads": 4},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 96},
    },
    "falcon_h1": {"mamba_d_ssm": 128},
    "gemma3n_text": {
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "intermediate_size": [96] * 4,
        "activation_sparsity_pattern": [0.0] * 4,
        "laurel_rank": 8,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 256},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "longcat_flash": {"num_layers": 2, "num_key_value_heads": 4, "expert_ffn_hidden_size": 48, "zero_expert_num": 2},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "nemotron_h": {
        "initializer_range": 0.1
    },  # its own cached steps differ from whole passes the more, the larger it is
    "reformer": {"axial_pos_embds": False},
    "xlm": {"emb_dim": 64, "n_words": VOCABULARY},
    "zamba": {
        "num_hidden_layers": 6,
        "layers_block_type": ["linear_attention", "linear_attention", "hybrid"] * 2,
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "num_key_value_heads": 4,
        "n_mamba_heads": 2,
    },
    "zamba2": {
        "num_hidden_layers": 6,
        "layers_block_type": ["linear_attention", "linear_attention", "hybrid"] * 2,
        "num_key_value_heads": 4,
        "num_query_groups": 4,
        "attention_head_dim": 32,
        "attention_hidden_size": 128,
        "kv_channels": 16,
        "adapter_rank": 8,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""What an architecture needs beyond `SIZES`."""


@dataclass(frozen=True)
class Outcome:
    """What came of one architecture.

    Attributes:
        model_type: Its name in transformers.
        model_class: The class of its models.
        verdict: One of `VERDICTS`.
        why: In a phrase; empty where there is nothing to say.
        apart: Largest difference that was found.
    """

    model_type: str
    model_class: str
    verdict: str
    why: str = ""
    apart: float = 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="*", help="names in transformers; none = all")
    parser.add_argument("--markdown", type=Path, help="page between whose markers the table is written")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=120, help="seconds for one architecture")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    names = arguments.architectures or list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    build("llama")  # what all models import is imported once, before the processes part
    outcomes = []
    for outcome in in_processes(names, arguments.jobs, arguments.limit):
        outcomes.append(outcome)
        print(f"{outcome.model_type:<28} {outcome.verdict:<34} {outcome.apart:>8.1e}  {outcome.why}", flush=True)
    counts = Counter(outcome.verdict for outcome in outcomes)
    print("; ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]))
    if arguments.markdown:
        write_table(arguments.markdown, sorted(outcomes, key=lambda outcome: outcome.model_type))
    return 1 if counts[WRONG] + counts[BROKEN] + counts[SLOW] else 0


def in_processes(names: Sequence[str], jobs: int, limit: float) -> Iterator[Outcome]:
    """Outcomes as they come; each architecture has a process, which is ended at its time limit."""
    context = multiprocessing.get_context("fork")
    waiting = list(reversed(names))
    running: dict[str, tuple[multiprocessing.process.BaseProcess, Connection, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop()
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_report, args=(name, sender), daemon=True)
            process.start()
            sender.close()
            running[name] = (process, receiver, time.monotonic() + limit)
        multiprocessing.connection.wait([receiver for _, receiver, _ in running.values()], timeout=1)
        for name, (process, receiver, deadline) in list(running.items()):
            model_class = _class_name(name)
            if receiver.poll():
                try:
                    yield receiver.recv()
                except EOFError:
                    process.join()
                    yield Outcome(name, model_class, BROKEN, f"the process ended with code {process.exitcode}")
            elif time.monotonic() > deadline:
                process.kill()
                yield Outcome(name, model_class, SLOW, f"not done within {limit:.0f} s")
            else:
                continue
            process.join()
            del running[name]


def _report(name: str, sender: Connection) -> None:
    sender.send(outcome_of(name))
    sender.close()


def _class_name(model_type: str) -> str:
    return str(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type, ""))


def outcome_of(model_type: str) -> Outcome:
    """Build a model of this kind, open it, and compare."""
    model_class = _class_name(model_type)
    try:
        model = build(model_type)
    except Exception as error:  # noqa: BLE001  # whatever a configuration of transformers may raise: the table says it
        return Outcome(model_type, model_class, NOT_BUILT, said(error))
    try:
        engine = Engine(model, letters(), max_rows=SLOTS)
        verdict = try_out(engine)
    except MindgapError as error:
        return Outcome(model_type, model_class, REFUSED, str(error))
    except Exception as error:  # noqa: BLE001  # whatever a model may raise: the table says it
        return Outcome(model_type, model_class, BROKEN, f"when opened: {said(error)}")
    if verdict["way"] is None:
        return Outcome(model_type, model_class, REFUSED, str(verdict["why"]))
    engine.way = next(way for way in WAYS if way == verdict["way"])
    try:
        apart = comparison(engine)
    except NotSteeredError as error:
        return Outcome(model_type, model_class, PARTLY, str(error))
    except Exception as error:  # noqa: BLE001  # whatever a model may raise: the table says it
        return Outcome(model_type, model_class, BROKEN, f"when asked: {said(error)}")
    worst = max(apart, key=lambda kind: apart[kind])
    if not apart[worst] <= TOLERANCE:
        return Outcome(model_type, model_class, WRONG, worst, apart[worst])
    if engine.slots:
        return Outcome(model_type, model_class, EQUAL, "", apart[worst])
    return Outcome(model_type, model_class, BY_ROW, str(verdict["why"]), apart[worst])


def said(error: Exception) -> str:
    """An error in one line."""
    first = (str(error).strip().splitlines() or ["no reason given"])[0]
    return f"{type(error).__name__}: {first[:160]}"


def build(model_type: str) -> Any:
    """A model of this kind with 4 blocks and random weights."""
    config_class = CONFIG_MAPPING[model_type]
    config = config_class(**{**small(config_class()), **SPECIAL.get(model_type, {})})
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[config_class]
    if not isinstance(config, model_class.config_class):  # it is the text part of what the configuration describes
        config = config.get_text_config(decoder=True)
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in model_class(config).parameters())
    if parameters > LARGEST:
        raise ValueError(f"{parameters / 1e6:.0f} million parameters")
    torch.manual_seed(0)
    model = model_class(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not torch.isfinite(parameter).all():
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return model


def small(config: Any) -> dict[str, Any]:
    """Arguments that make a configuration small, those of its parts included."""
    changed: dict[str, Any] = {}
    for name, value in vars(config).items():
        if isinstance(value, transformers.PreTrainedConfig):
            changed[name] = small(value)
        elif name.endswith(("_token_id", "_token_index")):
            if isinstance(value, int) and value >= VOCABULARY:
                changed[name] = 1 if name.startswith(("pad", "bos", "eos")) else VOCABULARY - 1
            elif isinstance(value, list):
                changed[name] = [1]
        elif name in SIZES:
            changed[name] = SIZES[name]
    # what the configuration writes under another name is taken under the usual one
    for usual, own in getattr(config, "attribute_map", {}).items():
        if usual in changed:
            changed.pop(own, None)
    return changed


def letters() -> Any:
    """A tokenizer of single characters without a chat template."""
    symbols = ["<pad>", "</s>", " ", *string.ascii_letters, *string.digits, *".,!?:;'-\n"]
    tokenizer = Tokenizer(models.WordLevel({symbol: i for i, symbol in enumerate(symbols)}, unk_token=" "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(symbols[:2])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>")


def comparison(engine: Engine) -> dict[str, float]:
    """The largest difference of each kind of number from plain forward passes."""
    requests = asked(engine)
    engine.stops = frozenset()  # every reply has the same length
    return {
        "generation": generation_apart(engine, requests),
        "scoring": scoring_apart(engine, requests),
        "residuals": residuals_apart(engine, requests),
    }


Asked = tuple[tuple[Message, ...], tuple[AddVector, ...]]


def asked(engine: Engine) -> list[Asked]:
    """12 prompts of 12 lengths, 5 steerings among them."""
    text = "why does it rain on the hills and not in the valley, says who"
    middle, last = engine.layers // 2, engine.layers - 1
    rng = np.random.default_rng(0)
    prompt = (Message("user", text[:8]),)
    ((_, residual),) = response_residuals(engine, [(prompt, text)], middle)
    unit = float(np.median(np.linalg.norm(residual, axis=1)))

    def vector(layer: int, size: float, positions: Any = "all") -> AddVector:
        direction = rng.standard_normal(engine.d_model)
        return AddVector(layer, direction * (size * unit / np.linalg.norm(direction)), positions)

    steerings: list[tuple[AddVector, ...]] = [
        (),
        (vector(middle, 0.3),),
        (vector(middle, 1.0),),
        (vector(middle, 0.5, "response"),),
        (vector(0, 0.3), vector(last, 0.5, "response")),
    ]
    return [((Message("user", text[: 1 + 4 * n]),), steerings[n % len(steerings)]) for n in range(12)]


@torch.inference_mode()
def generation_apart(engine: Engine, requests: Sequence[Asked]) -> float:
    """Generate in `SLOTS` slots that rows join and leave, greedily, and compare the logits of every step."""
    uniform = np.zeros(NEW_TOKENS, dtype=np.float32)
    prompts = [engine.chat.prompt(messages) for messages, _ in requests]
    waiting = [
        Row(index, prompt, Decoding(1 + index % NEW_TOKENS, 0), uniform, edits)
        for index, (prompt, (_, edits)) in enumerate(zip(prompts, requests, strict=True))
    ]
    session = open_session(engine, slots=SLOTS, edits=[edits for _, edits in requests])
    apart = 0.0
    while waiting or session.rows:
        if waiting and (free := SLOTS - len(session.rows)):
            session.admit([waiting.pop() for _ in range(min(free, len(waiting)))])
        before = [([*row.prompt, *row.reply], row) for row in session.rows]
        logits = session.step().float()
        for (tokens, row), one_row in zip(before, logits, strict=True):
            expected = plain(engine, tokens, row.edits, response_from=len(row.prompt) - 1)[-1]
            apart = max(apart, difference(one_row, expected))
        done = [
            slot for slot, row in enumerate(session.rows) if row.failed or len(row.reply) == row.decoding.max_tokens
        ]
        session.remove(done)
    return apart


def scoring_apart(engine: Engine, requests: Sequence[Asked]) -> float:
    """Score the options of every request and compare their log-likelihoods."""
    scored = [OptionsRequest("x", messages, OPTIONS, edits) for messages, edits in requests]
    apart = 0.0
    for index, scores in loglikelihood(engine, scored):
        if scores.error is not None:
            raise RuntimeError(scores.error)
        messages, edits = requests[index]
        prompt, replies = engine.chat.with_replies(messages, OPTIONS)
        for reply, logprob in zip(replies, scores.logprobs, strict=True):
            logits = plain(engine, [*prompt, *reply], edits, response_from=len(prompt) - 1)
            expected = logits[len(prompt) - 1 : -1].log_softmax(-1).gather(-1, torch.tensor(reply)[:, None]).sum()
            apart = max(apart, difference(torch.tensor(logprob), expected))
    return apart


@torch.inference_mode()
def residuals_apart(engine: Engine, requests: Sequence[Asked]) -> float:
    """Read residuals of every text at the middle block and compare."""
    layer = engine.layers // 2
    texts = [(messages, OPTIONS[index % len(OPTIONS)]) for index, (messages, _) in enumerate(requests)]
    apart = 0.0
    for index, residual in response_residuals(engine, texts, layer):
        prompt, (reply,) = engine.chat.with_replies(texts[index][0], [texts[index][1]])
        tokens = [*prompt, *reply]
        read: list[torch.Tensor] = []
        handle = engine.blocks[layer].register_forward_hook(
            lambda module, inputs, output, read=read: read.append(stream_of(output))
        )
        plain(engine, tokens, (), response_from=0)
        handle.remove()
        apart = max(apart, difference(torch.tensor(residual), read[0][0, len(prompt) :].float()))
    return apart


@torch.inference_mode()
def plain(engine: Engine, tokens: list[int], edits: Sequence[AddVector], *, response_from: int) -> torch.Tensor:
    """Logits `[tokens, vocabulary]` of one row by transformers alone."""

    def hook(edit: AddVector) -> Any:
        def add(module: object, inputs: object, output: Any) -> Any:
            hidden = stream_of(output).clone()
            hidden[:, 0 if edit.positions == "all" else response_from :] += torch.tensor(edit.vector)
            return with_stream(output, hidden)

        return add

    handles = [engine.blocks[edit.layer].register_forward_hook(hook(edit)) for edit in edits]
    try:
        logits: torch.Tensor = engine.model(input_ids=torch.tensor([tokens]), use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    return logits[0].float()


def difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, over the largest expected number (at least 1); infinite where either is no number."""
    apart = float((actual - expected).abs().max() / expected.abs().max().clamp(min=1))
    return apart if np.isfinite(apart) else float("inf")


def write_table(page: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the table between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    if START not in text or END not in text:
        sys.exit(f"{page} lacks the lines {START} and {END}")
    counts: Mapping[str, int] = Counter(outcome.verdict for outcome in outcomes)
    lines = [
        f"transformers {transformers.__version__}, torch {torch.__version__}: "
        + ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        + f", of {len(outcomes)}.",
        "",
        "| architecture | class | verdict | why |",
        "|---|---|---|---|",
        *(
            f"| `{outcome.model_type}` | {outcome.model_class} | {outcome.verdict} | {outcome.why.replace('|', '/')} |"
            for outcome in outcomes
        ),
    ]
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    page.write_text("".join([before, START, "\n\n", "\n".join(lines), "\n\n", END, after]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
