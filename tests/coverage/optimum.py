"""The names that optimum-onnx 0.1.0 registers an exporter for, as read in its `exporters/onnx/model_configs.py`."""

LISTED = (
    "albert arcee audio-spectrogram-transformer bart beit bert big_bird bigbird_pegasus blenderbot blenderbot-small "
    "bloom camembert chinese_clip clip clip-text clip-text-with-projection clip_vision_model codegen cohere colpali "
    "convbert convnext convnextv2 cvt d_fine data2vec-audio data2vec-text data2vec-vision dcae-decoder dcae-encoder "
    "deberta deberta-v2 decision_transformer deepseek_v3 default-timm-config deit detr dinov2 distilbert donut-swin "
    "dpt efficientnet electra encoder-decoder esm falcon flaubert flux-transformer-2d gemma gemma2 "
    "gemma2-text-encoder gemma3 gemma3_text glm glpn gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite "
    "groupvit helium hiera hubert ibert imagegpt internlm2 layoutlm layoutlmv3 levit lilt llama longformer longt5 "
    "m2m_100 marian markuplm maskformer mbart mctct megatron-bert metaclip_2 mgp-str mistral mobilebert "
    "mobilenet_v1 mobilenet_v2 mobilevit modernbert moonshine mpnet mpt mt5 musicgen nemotron nystromformer olmo "
    "olmo2 opt owlv2 owlvit patchtsmixer patchtst pegasus perceiver phi phi3 pix2struct poolformer pvt qwen2 qwen3 "
    "qwen3_moe regnet rembert resnet roberta roformer rt_detr rt_detr_v2 sam sana-transformer sd3-transformer-2d "
    "segformer sew sew-d siglip siglip-text siglip-text-with-projection siglip_vision_model smollm3 speech_to_text "
    "speecht5 splinter squeezebert stablelm swin swin2sr swinv2 t5 t5-encoder table-transformer transformer trocr "
    "unet-2d-condition unispeech unispeech-sat vae-decoder vae-encoder vision-encoder-decoder visual_bert vit "
    "vit_mae vit_msn vitpose vits wav2vec2 wav2vec2-conformer wavlm whisper xlm xlm-roberta yolos "
).split()

_DIFFUSERS = "a part of a pipeline of diffusers, which is another library"
NOT_OF_TRANSFORMERS = {
    **dict.fromkeys(
        [
            "clip-text",
            "clip-text-with-projection",
            "dcae-decoder",
            "dcae-encoder",
            "flux-transformer-2d",
            "gemma2-text-encoder",
            "sana-transformer",
            "sd3-transformer-2d",
            "siglip-text",
            "siglip-text-with-projection",
            "t5-encoder",
            "unet-2d-condition",
            "vae-decoder",
            "vae-encoder",
        ],
        _DIFFUSERS,
    ),
    "default-timm-config": "timm's models, which is another library; those that transformers wraps are of the type timm_wrapper",
    "transformer": "sentence-transformers' name for any model; here it is converted by its own model type",
    "internlm2": "transformers has no such model: its checkpoints have their own code, which needs --trust-remote-code and --config",
    "mctct": "transformers 5 has it no more; 4.57 was the last version that had",
}
"""Names among these that are not model types of transformers 5.23."""
