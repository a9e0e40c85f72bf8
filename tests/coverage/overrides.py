"""Exceptions to the general rules of `tiny.py`, as data."""

from __future__ import annotations

from typing import Any

BACKBONE: dict[str, Any] = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 32, 64],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}
"""What stands in for a backbone of timm."""

CANNOT: dict[str, str] = {
    "gemma4_assistant": "It has no separate cache, and transformers does not make its default configuration.",
    "gemma4_unified_assistant": "It has no separate cache, and transformers does not make a model of its default configuration.",
}


_MROPE = {"rope_parameters": {"mrope_section": [2, 1, 1]}}
_SAM_VISION = {"output_channels": 32, "num_pos_feats": 16, "global_attn_indexes": [1], "window_size": 2}
_PREDICTION = {"prediction_length": 8, "context_length": 16}
_IMAGE_WORDS = {"vocabulary_map": {"<image>": 100, "IMGIMGA": 101, "IMGIMGB": 102}}
_LCNET = {"scale": 0.25}
_VQGAN = {"channel_multiplier": [1, 1], "num_res_blocks": 1}
_HYBRID = {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2, "num_key_value_heads": 4}
_SWIN = {"embed_dim": 16, "patch_size": 2, "window_size": 2}
_DETR_CHANNELS = {"encoder_in_channels": [16, 32, 32]}

_RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0, "position_biased_input": False}

OVERRIDES: dict[str, dict[str, Any]] = {
    # like their checkpoints on the Hub; the default configurations have absolute positions
    "deberta": _RELATIVE,
    "deberta-v2": {**_RELATIVE, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    # text
    "bart": {"encoder_layers": 2},
    "mbart": {"encoder_layers": 2},
    "marian": {"encoder_layers": 2},
    "bamba": {"attn_layer_indices": [1]},
    "bros": {"hidden_size": 64, "dim_bbox_sinusoid_emb_2d": 16, "dim_bbox_sinusoid_emb_1d": 2, "dim_bbox_projection": 16},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "canine": {"num_hash_buckets": 64},
    "falcon_h1": {"mamba_d_ssm": 32},
    "gpt2": {"pad_token_id": 0},
    "gpt_neo": {"pad_token_id": 0},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hrm_text": {"num_layers_per_stack": 1, "L_cycles": 1, "num_hidden_layers": 4},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 2},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4, "input_size": 32},
    "lfm2_moe": {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]},
    "lilt": {"hidden_size": 48},
    "mamba2": {"head_dim": 16},
    "markuplm": {
        "max_depth": 4,
        "max_xpath_tag_unit_embeddings": 20,
        "tag_pad_id": 18,
        "max_xpath_subs_unit_embeddings": 24,
        "subs_pad_id": 22,
    },
    "mistral4": {"head_dim": 16},
    "mobilebert": {"hidden_size": 64, "intra_bottleneck_size": 32, "true_hidden_size": 32, "num_feedforward_networks": 2},
    "moonshine": {"encoder_num_key_value_heads": 4, "decoder_num_key_value_heads": 4},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_shape": [8, 8], "axial_pos_embds_dim": [8, 24]},
    "step3p5": {"sliding_window": 8},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},
    "zamba": {**_HYBRID, "attn_layer_period": 2, "attn_layer_offset": 1, "attention_hidden_size": 64, "attention_head_dim": 16},
    "zamba2": {**_HYBRID, "hybrid_layer_ids": [1, 3], "attention_hidden_size": 64, "attention_head_dim": 16, "kv_channels": 16},
    **dict.fromkeys(["qwen2_vl_text", "qwen2_5_vl_text", "glm4v_text", "glm_image_text", "glm_ocr_text", "paddleocr_vl_text"], _MROPE),
    **dict.fromkeys(["glmga_text", "hunyuan_vl_text", "paddleocr_text", "qwen2_5_omni_text", "qwen2_5_omni_talker"], _MROPE),
    "glm4v_moe_text": {**_MROPE, "head_dim": 16},
    "ernie4_5_vl_moe_text": {"rope_parameters": {"mrope_section": [1, 1, 2]}},
    "blt": {"encoder_hash_byte_group_vocab": 100, "num_hidden_layers": 2},
    "blt_global_transformer": {"hidden_size": 64, "head_dim": 16},
    "blt_local_encoder": {"hidden_size_global": 64},
    "blt_local_decoder": {"hidden_size_global": 64},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse"]},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32},
    "dots3_note": {"audio_config": {"adapter_input_size": 32}},
    "dots3_note_text": {"head_dim": 16},
    "esmc": {"num_key_value_heads": 4},
    "neomme": {"head_dim": 16},
    "qwen3_omni_moe_talker": {"spatial_merge_size": 2},
    "qwen3_omni_moe_talker_text": {"shared_expert_intermediate_size": 64},
    "qwen4_exp_text": {
        "indexer_budget": 8,
        "indexer_compress_ratio": 4,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
    },
    "t5gemma2_encoder": {"text_config": {"dropout_rate": 0.0}},
    "xmod": {"default_language": "en_XX"},
    # time series
    "autoformer": _PREDICTION,
    "informer": _PREDICTION,
    "time_series_transformer": _PREDICTION,
    # images
    "beit": {"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4], "out_features": ["stage1", "stage2", "stage3", "stage4"]},
    "data2vec-vision": {"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]},
    "dpt": {"num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3]},
    "d_fine": _DETR_CHANNELS,
    "deimv2": _DETR_CHANNELS,
    "pp_doclayout_v2": {**_DETR_CHANNELS, "class_thresholds": [0.5, 0.5, 0.5], "class_order": [0, 1, 2]},
    "pp_doclayout_v3": {**_DETR_CHANNELS, "x4_feat_dim": 16},
    "pp_doclayout_v4": _DETR_CHANNELS,
    "donut-swin": _SWIN,
    "swin": _SWIN,
    "maskformer-swin": _SWIN,
    "swin2sr": {"image_size": 16},
    "efficientnet": {
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "in_channels": [32, 8, 8, 8, 16, 16, 16],
        "out_channels": [8, 8, 8, 16, 16, 16, 24],
        "hidden_dim": 1280,
    },
    "hgnet_v2": {
        "embedding_size": 8,
        "hidden_sizes": [16, 16, 32, 32],
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 16, 32],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [16, 16, 32, 32],
        "stage_numb_of_layers": [2, 2, 2, 2],
    },
    "levit": {
        "image_size": 64,
        "patch_size": 16,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": [1, 2, 2],
        "key_dim": [8, 8, 8],
        "down_ops": [["Subsample", 8, 2, 2, 2, 2], ["Subsample", 8, 2, 2, 2, 2]],
    },
    "align_vision_model": {
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "in_channels": [32, 8, 8, 8, 16, 16, 16],
        "out_channels": [8, 8, 8, 16, 16, 16, 32],
    },
    "emu3": _IMAGE_WORDS,
    "chameleon": _IMAGE_WORDS,
    "clap_audio_model": {"spec_size": 64, "window_size": 2, "patch_embeds_hidden_size": 8, "hidden_size": 64},
    "detr": {"d_model": 64, "encoder_attention_heads": 8, "decoder_attention_heads": 8},
    "depth_pro": {"patch_size": 32, "intermediate_hook_ids": [1, 0]},
    "efficientloftr": {
        "stage_num_blocks": [1, 1, 1, 1],
        "out_features": [8, 8, 16, 32],
        "stage_in_channels": [1, 8, 8, 16],
        "stage_block_stride": [[2], [1], [2], [2]],
        "stage_block_in_channels": [[1], [8], [8], [16]],
        "stage_block_out_channels": [[8], [8], [16], [32]],
        "fine_fusion_dims": [32, 16, 8],
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
    },
    "chameleon_vqgan": _VQGAN,
    "emu3_vqgan": _VQGAN,
    "granite4_vision": {"deepstack_layer_map": [[-1, 0]], "vision_config": {"hidden_size": 64}, "downsample_rate": "2/4"},
    "janus_vqgan": _VQGAN,
    "lw_detr": {"projector_scale_factors": [1.0], "projector_in_channels": [32], "num_feature_levels": 1},
    "lw_detr_vit": {"num_windows": 4, "num_windows_side": 2, "window_block_indices": [0]},
    "mask2former": {"feature_size": 32},
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "mobilevitv2": {"width_multiplier": 0.25, "n_attn_blocks": [1, 1, 1], "image_size": 64},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    "pp_lcnet": _LCNET,
    "pp_lcnet_v3": _LCNET,
    "pp_lcnet_v4": {
        "block_configs": [
            [[3, 16, 16, 1, True]],
            [[3, 16, 16, 1, False]],
            [[3, 16, 32, [2, 1], False], [3, 32, 32, 1, True]],
            [[3, 32, 32, [2, 1], False]],
        ],
        "stem_channels": [3, 8, 16],
        "stage_out_channels": [16, 16, 32, 32],
        "depths": [1, 1, 2, 1],
    },
    "sam_vision_model": _SAM_VISION,
    "sam_hq_vision_model": _SAM_VISION,
    "deepseek_ocr2_sam_vision_model": _SAM_VISION,
    "unlimited_ocr_sam_vision_model": _SAM_VISION,
    "sam_prompt_encoder": {"image_embedding_size": 4},
    "sam_hq_prompt_encoder": {"image_embedding_size": 4},
    "sam2_hiera_det_model": {"hidden_size": 8},
    "sam2_vision_model": {"backbone_feature_sizes": [[8, 8], [4, 4], [2, 2]]},
    "sam3_vision_model": {"backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]},
    "sapiens2": {
        "num_hidden_layers": 3,
        "num_key_value_heads_per_layer": [4, 2, 4],
        "num_first_full_attention_layers": 1,
        "num_last_full_attention_layers": 1,
    },
    "superpoint": {"keypoint_decoder_dim": 65},
    "pp_ocrv6_small_det": {
        "backbone_config": {"out_features": ["stage1", "stage2", "stage3", "stage4"], "out_indices": [1, 2, 3, 4]},
        "layer_list_out_channels": [16, 16, 32, 32],
    },
    "textnet": {"stem_out_channels": 8},
    "tvp": {"visual_prompt_size": 4},
    "uvdoc": {"bridge_connector": [16, 16], "out_point_positions2D": [[16, 8], [8, 2]]},
    "uvdoc_backbone": {
        "resnet_head": [[3, 8], [8, 8]],
        "resnet_configs": [[[8, 8, 1, False]], [[8, 8, 1, True]], [[8, 16, 1, True]]],
        "out_features": [f"stage{index}" for index in range(1, 7)],
        "out_indices": list(range(1, 7)),
        "stage_configs": [[[16, 1]], [[16, 2]], [[16, 5]], [[16, 8]], [[16, 12]], [[16, 18]]],
    },
    "vitmatte": {"backbone_config": {"image_size": 64, "patch_size": 16}},
    # audio
    "dac": {"encoder_hidden_size": 4, "hidden_size": 64, "decoder_hidden_size": 64},
    "gemma4_audio": {"subsampling_conv_channels": [128, 32]},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 8}},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "muse_spark_audio": {"patch_sizes": [4, 2, 2, 2], "num_hidden_layers": 4},
    "neucodec": {"encoder_hidden_size": 2, "quantization_dim": 64},
    "xcodec2": {"encoder_hidden_size": 2, "quantization_dim": 64},
    "seamless_m4t": {"upsample_initial_channel": 64},
    "seamless_m4t_v2": {"upsample_initial_channel": 64},
    "qwen2_5_omni_thinker": {"vision_start_token_id": 109},
    "qwen3_omni_moe_thinker": {"vision_start_token_id": 109},
    "xcodec": {"codebook_dim": 96},
    "univnet": {"model_in_channels": 8, "model_hidden_channels": 8, "kernel_predictor_hidden_channels": 8},
    "vibevoice_acoustic_tokenizer": {"num_filters": 2},
    "vibevoice_acoustic_tokenizer_encoder": {"num_filters": 2},
    "vibevoice_acoustic_tokenizer_decoder": {"num_filters": 2},
    "vits": {"spectrogram_bins": 17, "flow_size": 32},
    # several
    "bridgetower_vision_model": {"hidden_size": 64},
}
"""Settings on top of the limited default, by type, also for a part of another configuration."""
