"""Every architecture of transformers, made tiny from its own configuration, with random weights.

A configuration is read for the sizes that it knows (`SIZES`, by the names of its fields); what must fit together in one
architecture alone stands in `OWN`. Nothing is left out by hand: what cannot be made tiny says why.
"""

import inspect
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

VOCABULARY = 1200
WINDOW = 24
"""The sliding window of those that slide: shorter than the texts of the zoo."""

SIZES: dict[str, Any] = {
    # what all have, under their names for it
    "vocab_size": VOCABULARY, "n_vocab": VOCABULARY,
    **dict.fromkeys(["hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim"], 64),
    **dict.fromkeys(["intermediate_size", "ffn_hidden_size", "d_ff", "ffn_dim", "n_inner", "dim_ff", "encoder_ffn_dim",
                     "decoder_ffn_dim", "d_inner", "dff", "hidden_size_mlp"], 96),
    **dict.fromkeys(["num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers",
                     "num_decoder_layers", "num_encoder_layers"], 4),
    **dict.fromkeys(["num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads",
                     "encoder_attention_heads", "num_decoder_attention_heads", "num_encoder_attention_heads"], 4),
    "num_key_value_heads": 2, "head_dim": 16, "attention_head_dim": 16, "d_kv": 16,
    **dict.fromkeys(["max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "max_sequence_length"], 512),
    "original_max_position_embeddings": 512,
    "initializer_range": 0.2, "init_std": 0.2,
    "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
    "sliding_window": WINDOW, "attention_window_size": WINDOW, "local_attention": WINDOW,
    # experts
    **dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"], 4),
    **dict.fromkeys(["num_experts_per_tok", "moe_k", "moe_topk", "num_experts_per_token", "top_k_experts"], 2),
    **dict.fromkeys(["moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size",
                     "intermediate_size_mlp", "shared_intermediate_size", "moe_shared_expert_intermediate_size",
                     "expert_intermediate_size"], 32),
    **dict.fromkeys(["n_group", "topk_group", "n_shared_experts", "num_shared_experts", "first_k_dense_replace",
                     "moe_num_shared_experts", "num_dense_layers"], 1),
    # latent attention
    "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16,
    "index_n_heads": 2, "index_head_dim": 16, "index_topk": 1000,
    # state spaces and linear attention
    **dict.fromkeys(["state_size", "ssm_state_size", "mamba_d_state", "mamba_state_dim"], 8),
    **dict.fromkeys(["mamba_n_heads", "n_mamba_heads", "mamba_num_heads"], 8),
    **dict.fromkeys(["mamba_d_head", "mamba_head_dim", "mamba_headdim"], 16),
    **dict.fromkeys(["mamba_n_groups", "mamba_ngroups", "n_groups"], 1),
    "mamba_dt_rank": 8, "mamba_d_ssm": 128, "mamba_chunk_size": 16, "chunk_size": 16, "lru_width": 64,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "block_size": 16, "conv_dim": 64, "conv_dim_out": 64,
    "hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": VOCABULARY, "num_kv_shared_layers": 1,
    "laurel_rank": 8, "altup_num_inputs": 2,
}  # fmt: skip

OWN: dict[str, dict[str, Any]] = {
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": WINDOW},
    "zaya": {"num_experts_per_tok": 1},
    "reformer": {"is_decoder": True, "axial_pos_embds_dim": [16, 48]},
    "codegen": {"rotary_dim": 16},
    "gptj": {"rotary_dim": 16},
    "longcat_flash": {"head_dim": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "zamba2": {"layer_types": ["mamba", "hybrid", "mamba", "hybrid"], "num_mem_blocks": 1, "hybrid_layer_ids": [1, 3]},
    "zamba": {"layer_types": ["mamba", "hybrid", "mamba", "hybrid"]},
    "bamba": {"attn_layer_indices": [1, 3]},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2},
    "granitemoehybrid": {"layer_types": ["mamba", "attention", "mamba", "attention"]},
    "qwen2_5_vl_text": {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}},
    "qwen2_vl_text": {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}},
    "paddleocr_vl_text": {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}},
    "qwen2_5_omni_text": {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}},
}


def architectures() -> list[str]:
    """Of the causal mapping, and of the image-text mapping what the causal one lacks."""
    causal = list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    return [*causal, *(name for name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES if name not in causal)]


def tiny_config(name: str, **changes: Any) -> Any:
    return AutoConfig.for_model(name, **(_sizes(type(AutoConfig.for_model(name))) | OWN.get(name, {}) | changes))


def _sizes(kind: type) -> dict[str, Any]:
    """Of a configuration class: the sizes that it knows, and those of the configurations inside it."""
    known = inspect.signature(kind.__init__).parameters
    default = kind()
    wanted = {key: value for key, value in SIZES.items() if key in known}
    for key in ("sliding_window", "q_lora_rank", "num_kv_shared_layers"):  # what some of a kind have and some have not
        if key in wanted and not getattr(default, key, None):
            del wanted[key]
    if "qk_rope_head_dim" in known:
        wanted.pop("head_dim", None)
        wanted["num_key_value_heads"] = 4
    for key in getattr(kind, "sub_configs", {}):
        if (inner := getattr(default, key, None)) is not None:
            wanted[key] = _sizes(type(inner)) | OWN.get(inner.model_type, {}) | {"model_type": inner.model_type}
    return wanted


def tiny(name: str, **changes: Any) -> Any:
    """In float32, the same in every run."""
    config = tiny_config(name, **changes)
    torch.manual_seed(11)
    auto = AutoModelForCausalLM if name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES else AutoModelForImageTextToText
    return auto.from_config(config).float().eval().requires_grad_(False)
