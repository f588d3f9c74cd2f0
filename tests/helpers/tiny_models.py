"""Tiny random models of many architectures: what differs between them is what the engine has to get right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

LAYERS, WIDTH, WINDOW, LONGEST = 4, 32, 16, 256
ROPE = {"rope_type": "default", "rope_theta": 10000.0}


def tiny_model(name: str, vocabulary: int) -> Any:
    """One of `BUILDERS`, in float32."""
    import torch

    torch.manual_seed(0)
    return BUILDERS[name](vocabulary).float().eval()


def sizes(vocabulary: int, **others: Any) -> dict[str, Any]:
    """Settings that most configurations share."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": LONGEST,
        "initializer_range": 0.3,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0),
        **others,
    }


def llama(vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**sizes(vocabulary)))


def qwen3(vocabulary: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**sizes(vocabulary)))


def gemma2(vocabulary: int) -> Any:
    """Every other layer looks back over a window; scores and logits are capped, for which attention is eager."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    return Gemma2ForCausalLM(Gemma2Config(**sizes(vocabulary, sliding_window=WINDOW, query_pre_attn_scalar=8)))


def gemma3(vocabulary: int, window: int = WINDOW, longest: int = LONGEST) -> Any:
    """Three layers of four look back over a window."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    settings = sizes(vocabulary, sliding_window=window, layer_types=kinds, max_position_embeddings=longest)
    return Gemma3ForCausalLM(Gemma3TextConfig(**settings, query_pre_attn_scalar=8))


def gpt_oss(vocabulary: int) -> Any:
    """A mixture of experts with windows and attention sinks."""
    from transformers import GptOssConfig, GptOssForCausalLM

    settings = sizes(vocabulary, sliding_window=WINDOW, num_local_experts=4, num_experts_per_tok=2)
    return GptOssForCausalLM(GptOssConfig(**settings, rope_parameters=ROPE))


def gpt2(vocabulary: int) -> Any:
    """Learned positions, and blocks that return a tuple in older versions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=4,
            n_positions=LONGEST,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def phi3(vocabulary: int, original: int = 32) -> Any:
    """LongRoPE: one set of frequencies up to the original length, another beyond it."""
    from transformers import Phi3Config, Phi3ForCausalLM

    factors = {"short_factor": [1.0] * 4, "long_factor": [3.0, 2.0, 4.0, 6.0]}
    settings = sizes(vocabulary, original_max_position_embeddings=original)
    settings.pop("head_dim")
    return Phi3ForCausalLM(
        Phi3Config(**settings, rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0, **factors})
    )


def lfm2(vocabulary: int) -> Any:
    """A hybrid: short convolutions beside attention."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    settings = sizes(vocabulary, layer_types=["conv", "full_attention"] * 2)
    settings.pop("head_dim")
    return Lfm2ForCausalLM(Lfm2Config(**settings))


def qwen3_next(vocabulary: int) -> Any:
    """A hybrid: gated delta rules, whose state is a matrix for each head, beside attention and experts."""
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    linear |= dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8)
    settings = sizes(vocabulary, layer_types=["linear_attention", "full_attention"] * 2, initializer_range=0.1)
    shared = {"shared_expert_intermediate_size": 16}
    return Qwen3NextForCausalLM(Qwen3NextConfig(**settings, **experts, **linear, **shared))


def llava(vocabulary: int) -> Any:
    """A text model beside a vision tower that has as many blocks, of the same width."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        image_size=16,
        patch_size=8,
        projection_dim=WIDTH,
    )
    text = LlamaConfig(**sizes(vocabulary))
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=vocabulary - 1)
    )


def bloom(vocabulary: int) -> Any:
    """ALiBi: distances are punished instead of positions told, from a mask of two dimensions."""
    from transformers import BloomConfig, BloomForCausalLM

    return BloomForCausalLM(
        BloomConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            n_layer=LAYERS,
            n_head=4,
            initializer_range=0.3,
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0),
        )
    )


BUILDERS: Mapping[str, Callable[[int], Any]] = {
    builder.__name__: builder
    for builder in (llama, qwen3, gemma2, gemma3, gpt_oss, gpt2, phi3, lfm2, qwen3_next, llava, bloom)
}
