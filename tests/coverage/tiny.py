"""A tiny random checkpoint of every model type that transformers knows.

`tiny_config` shrinks the default configuration of a type by rules on the names of its attributes, and then applies what
`overrides.py` says of that type.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from tests.coverage.overrides import BACKBONE, CANNOT, OVERRIDES
from tests.support.checkpoints import TINY_CONFIGS

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from transformers import PretrainedConfig, PreTrainedModel

VOCABULARY = 120
LARGEST = 3_000_000
"""Parameters that a tiny model may have."""

# A pattern that the whole name must match, and the largest value that stays. The first that matches counts.
_LIMITS: tuple[tuple[str, int], ...] = (
    (r".*vocab_size(_per_layer_input|_base)?|num_embeddings|num_embeds|n_token|entity_vocab_size", VOCABULARY),
    (r"(original_)?max_position_embeddings|n_positions|n_ctx|max_seq_len|model_max_length|context_length|max_sequence_length", 64),
    (r".*max_(encoder_|decoder_)?position_embeddings|max_target_positions|max_text_len|max_text_positions", 64),
    (r"max_2d_position_embeddings|max_(rel|rel_2d)_pos|max_xpath_.*_embeddings", 64),
    (r"max_source_positions|max_speech_positions", 50),
    (r"type_vocab_size", 2),
    (r"sliding_window(_size)?|local_attention|attention_window_size|attention_chunk_size|context_size|local_attention_window_len", 8),
    (r"max_window_layers", 1),
    # attention
    (r".*num_key_value_(attention_)?heads|num_kv_heads|multi_query_group_num|kv_n_heads", 2),
    (r".*(num_attention_heads|num_self_attention_heads|num_cross_attention_heads|attention_heads|num_heads|n_heads?|heads)", 4),
    (r"linear_num_key_heads", 2),
    (r"linear_num_value_heads|mamba_n_heads|mamba_num_heads|n_mamba_heads|index_n_heads", 4),
    (r"qk_head_dim|mamba_(d_head|head_?dim)", 16),
    (r"(mamba_)?chunk_size|attention_window|(local|lsh)_attn_chunk_length", 8),
    (r"n_groups|mamba_n_?groups", 2),
    (r"(.*_)?head_dim|dim_head|d_kv|d_head|kv_channels|attention_head_size|.*_head_size|rotary_dim", 8),
    (r".*lora_rank|.*_rank", 16),
    (r"index_topk|index_block_size|index_kpool", 8),
    # layers
    (r".*(num_hidden_layers|num_layers|n_layers?|(en|de)coder_layers|_num_blocks|num_transformer_layers)|depth|layers|num_blocks", 2),
    (
        r"num_(en|de)coder_layers|num_adapter_layers|.*_num_(conv_)?layers|num_(spatial|temporal|auxiliary|pooler|global)_layers|[lxr]_layers",
        2,
    ),
    (r"num_self_attends_per_block|.*_layer_num|.*num_(wavenet_layers|flows)|.*postnet_layers|resampler_depth", 2),
    (r"first_k_dense_replace|num_dense_layers|num_nextn_predict_layers|num_kv_shared_layers", 1),
    # experts
    (r"(num_|n_)?(local_|routed_)?experts|moe_num_experts|num_moe_experts|n_routed_experts|zero_expert_num", 4),
    (r"num_experts_per_(tok|token)|moe_topk|moe_top_k|moe_k|top_k_experts", 2),
    (r"n_group|topk_group|num_expert_group|n_shared_experts|num_shared_experts|moe_num_shared_experts", 1),
    # widths
    (r".*(intermediate_size.*|_ffn_dim|_ffn_hidden_size|feedforward_dim|dim_feedforward|intermediate_dim|linear_units|mlp_dim)", 64),
    (r"d_ff|ffn_dim|d_inner|n_inner|dff|dim_ff|hidden_dim|feed_forward_size|.*_feed_forward_hidden_size|ffn_hidden_size", 64),
    (
        r".*(hidden_size|d_model|embed_dim|embedding_dim|projection_dim|proj_dim|embedding_size|emb_dim|proj(ection)?_size|hidden_size_global|pooler_output_size|_features)",
        32,
    ),
    (
        r".*(_dim|_units|_hidden_channels|_hidden_dim|_hidden_dimension|_output_channels|_filter_channels|_hidden_size_out|_width)|dim|n_embd|width|d_latents",
        32,
    ),
    (r"num_filters", 4),
    (r"base_channels|audio_channels", 32),  # for a normalisation by groups of 32
    (r".*_channels|d_state|.*state_size|mamba_d_state|conv_channels|base_channels|upsample_initial_channel", 16),
    (r"hidden_size_per_layer_input", 8),
    # images and audio
    (r"(.*_)?image_size|img_size|resolution|crop_size|spec_size|max_img_size|max_image_size|min_image_size", 32),
    (r"patch_size|encoder_stride", 8),
    (r"window_size", 4),
    (r"(mask|fpn)_feature_size", 32),
    (r"num_mel_bins|feature_size|n_mel_bins|n_mels|mel_dim|model_in_dim|input_feat_per_channel|input_feat_size", 16),
    (r"num_frames|frames_per_clip", 2),
    (r"num_position_embeddings", 16),
    (r"num_queries|num_detection_tokens|num_query_tokens|num_latents|latent_query_num|.*n_latents|two_stage_num_proposals", 10),
    (r"num_conv_pos_embeddings", 16),
    (r"num_conv_pos_embedding_groups|upsample_groups|num_groups", 4),
    (r"num_codevectors_per_group|codebook_size", 16),
    (r"num_denoising|num_hash_buckets", 8),
    (r"num_classes|num_object_labels|num_attr_labels|num_qa_labels", 3),
)
# The value of None for a class that does without it while the model does not.
_UNSET = {"vocab_size": VOCABULARY, "num_key_value_heads": 2, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1}
_INITIAL = re.compile(r"initializer_range|init_std|embed_init_std|decoder_initializer_range")
_TOKEN = re.compile(r".*(_token_id|_token_index|_token_ids)|(im|image)_\w+_id")
# Lists with an entry for each stage.
_WIDTHS = re.compile(r".*(hidden_sizes|_channels|_dims)|embed_dims?|embed_dim_per_stage|conv_dim|tdnn_dim|backbone_channel_list")
_COUNTS = re.compile(r"depths|num_blocks|stage_num_blocks|stage_numb_of_layers|blocks_per_stage|num_block_repeats")
_HEADS = re.compile(r"num_attention_heads|num_heads|num_attention_heads_per_stage")
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_LABELS = ("id2label", "label2id", "num_labels")


class CannotBeTiny(Exception):  # noqa: N818
    """No tiny configuration of this type can be made; the message is a sentence that says why."""


def _limited(name: str, value: int) -> int:
    return next((min(value, limit) for pattern, limit in _LIMITS if re.fullmatch(pattern, name)), value)


def _kept_layers(config: dict[str, Any], count: int) -> list[int]:
    """Return which of `count` layers stay: the first of each kind that a list over the layers tells, at least two, at most four."""
    kept: set[int] = set()
    for value in config.values():
        if isinstance(value, list) and len(value) == count:
            kept |= {value.index(kind) for kind in value}
    for index in range(count):
        if len(kept) >= 2:
            break
        kept.add(index)
    return sorted(kept)[:4]


def _cut_layers(config: dict[str, Any]) -> dict[str, Any]:
    """Return the lists over the layers, and their count, cut to those that stay."""
    name = next((name for name in _LAYER_COUNTS if isinstance(config.get(name), int)), None)
    if name is None or config[name] <= 2 or "depths" in config:
        return {}
    count = config[name]
    taps = config.get("out_indices")
    if taps is not None and f"stage{count}" in (config.get("stage_names") or ()):
        layers = max(2, len(taps))
        stages = ["stem", *(f"stage{index + 1}" for index in range(layers))]
        return {
            name: layers,
            "stage_names": stages,
            "out_features": stages[-len(taps) :],
            "out_indices": list(range(layers + 1))[-len(taps) :],
        }
    kept = _kept_layers(config, count)
    lists = {key: value for key, value in config.items() if isinstance(value, list) and len(value) == count}
    cut: dict[str, Any] = {key: [_shrunk_value(key, value[index]) for index in kept] for key, value in lists.items()}
    if config.get("per_layer_config"):
        own = {int(index): changes for index, changes in config["per_layer_config"].items()}
        cut["per_layer_config"] = {str(place): _shrunk(own[index]) for place, index in enumerate(kept) if index in own}
    return cut | {name: len(kept)}


def _scaled(values: list[Any], widest: int) -> list[Any]:
    largest = max(values)
    return [value if value <= 4 else max(8, round(value * widest / largest / 8) * 8) for value in values]


def _shrunk_list(name: str, values: list[Any]) -> list[Any]:
    """Return a list of whole numbers with an entry for each stage, or for each axis, made small."""
    if _COUNTS.fullmatch(name):
        return [1] * len(values)
    if _HEADS.fullmatch(name):
        return [min(4, 2**index) for index in range(len(values))]
    if _WIDTHS.fullmatch(name):
        return _scaled(values, 32 if len(set(values)) == 1 else 64)
    if name in ("image_size", "patch_size"):
        return [_limited(name, entry) for entry in values]
    if name == "mrope_section":
        return [2, 1, 1][: len(values)]
    return values


def _shrunk_value(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return BACKBONE if value.get("model_type") == "timm_backbone" else _shrunk(value)
    if value is None:
        return _UNSET.get(name)
    if isinstance(value, float):
        return 0.1 if _INITIAL.fullmatch(name) or (name == "initializer_factor" and value < 0.1) else value
    if type(value) is int:
        return _limited(name, value)
    if isinstance(value, list) and value and all(type(entry) is int for entry in value):
        return _shrunk_list(name, value)
    return value


def _shrunk(config: dict[str, Any]) -> dict[str, Any]:
    """Return `config` with all sizes limited, and with the settings of its type."""
    config = {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}
    cut = _cut_layers(config)
    shrunk = {name: cut[name] if name in cut else _shrunk_value(str(name), value) for name, value in config.items() if name not in _LABELS}
    if "kv_lora_rank" in shrunk and "num_key_value_heads" in shrunk:
        shrunk["num_key_value_heads"] = shrunk["num_attention_heads"]  # a latent is for every head
    heads, width = shrunk.get("num_attention_heads"), shrunk.get("hidden_size")
    if shrunk.get("head_dim", 0) is None and isinstance(heads, int) and isinstance(width, int):
        shrunk["head_dim"] = width // heads  # some models read it, and their classes leave it unset
    if "vocab_size" in shrunk and shrunk.get("pad_token_id", 0) is None:
        shrunk["pad_token_id"] = _free_token(shrunk)  # without one a batch cannot be classified
    if "dtype" in shrunk:
        shrunk["dtype"] = "float32"
    return _merged(shrunk, OVERRIDES.get(config.get("model_type", ""), {}))


def _merged(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(config)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else copy.deepcopy(value)
    return merged


def _token_ids(config: dict[str, Any]) -> set[int]:
    """Return the ids of special tokens in `config` that lie outside the vocabulary."""
    token_ids: set[int] = set()
    for name, value in config.items():
        if isinstance(value, dict):
            token_ids |= _token_ids(value)
        elif _TOKEN.fullmatch(str(name)):
            token_ids |= {
                entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, int) and entry >= VOCABULARY
            }
    return token_ids


def _free_token(config: dict[str, Any]) -> int:
    """Return the least id that no special token of `config` has."""
    token_ids: set[int | None] = set()
    for name, value in config.items():
        if _TOKEN.fullmatch(str(name)):
            token_ids |= set(value) if isinstance(value, list) else {value}
    return next(token for token in range(VOCABULARY) if token not in token_ids)


def _renumbered(config: dict[str, Any], ids: dict[int, int]) -> dict[str, Any]:
    renumbered = dict(config)
    for name, value in config.items():
        if isinstance(value, dict):
            renumbered[name] = _renumbered(value, ids)
        elif _TOKEN.fullmatch(str(name)):
            renumbered[name] = [ids.get(entry, entry) for entry in value] if isinstance(value, list) else ids.get(value, value)
    return renumbered


def _parts(config: PretrainedConfig) -> list[PretrainedConfig]:
    """Return `config` and every configuration in it."""
    from transformers import PretrainedConfig

    inner = [value for value in vars(config).values() if isinstance(value, PretrainedConfig)]
    return [config, *(part for value in inner for part in _parts(value))]


def tiny_config(model_type: str) -> PretrainedConfig:
    """Return a configuration of `model_type` with few narrow layers, of every kind in its default.

    Raises CannotBeTiny if there is none.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type in CANNOT:
        raise CannotBeTiny(CANNOT[model_type])
    kind = CONFIG_MAPPING[model_type]
    if model_type in TINY_CONFIGS:
        config = kind(**_merged(TINY_CONFIGS[model_type], OVERRIDES.get(model_type, {})))
    else:
        shrunk = _shrunk(kind().to_dict())
        # ids outside the vocabulary take its last places, in their order
        outside = sorted(_token_ids(shrunk), reverse=True)
        config = kind.from_dict(_renumbered(shrunk, {old: VOCABULARY - 1 - place for place, old in enumerate(outside)}))
    for part in _parts(config):
        part.dtype = "float32"
        part.architectures = []  # of two classes an auto class takes the one named here; None it cannot read
        part.num_labels = 3
    return config


def _redraw(model: torch.nn.Module) -> None:
    """Initialise weights that the model's own initialisation left as uninitialised memory or zeros."""
    import torch

    parameters = dict(model.named_parameters())
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            unset = not tensor.isfinite().all() or (name in parameters and tensor.dim() > 1 and not tensor.any())
            if unset:
                tensor.normal_(0.0, 0.1)
        elif tensor.dtype == torch.int64 and (tensor == torch.iinfo(tensor.dtype).max).any():
            tensor.zero_()


def tiny_model(model_type: str, auto_class: str, seed: int = 0) -> PreTrainedModel:
    """Return a random model of `model_type` with the head of `auto_class`, equal for equal seeds.

    Raises CannotBeTiny if there is none.
    """
    import torch
    import transformers

    config = tiny_config(model_type)
    if "QuestionAnswering" in auto_class:
        config.num_labels = 2  # a span has a start and an end
    kind = getattr(transformers, auto_class)
    try:
        with torch.device("meta"):
            size = sum(parameter.numel() for parameter in kind.from_config(copy.deepcopy(config)).parameters())
    except ImportError as error:
        raise CannotBeTiny(f"It needs a library that is not here: {str(error).strip().splitlines()[0]}") from error
    if size > LARGEST:
        raise CannotBeTiny(f"The smallest {model_type} has {size} parameters.")
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    transformers.set_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills empty memory with NaN, by which _redraw knows it
    try:
        model: PreTrainedModel = kind.from_config(config)
    finally:
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
    with torch.no_grad():
        _redraw(model)
    torch.nn.Module.float(torch.nn.Module.eval(model))  # transformers' functions are untyped
    return model


def save_tiny(folder: Path, model_type: str, auto_class: str, seed: int = 0) -> Path:
    """Save the model of `tiny_model` as a checkpoint in `folder`."""
    tiny_model(model_type, auto_class, seed).save_pretrained(folder)
    return folder
