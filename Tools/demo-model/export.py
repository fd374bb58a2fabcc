"""Writes an ordinary Hugging Face `llava` folder: bf16 weights under hub-style names, configuration, tokenizer, processor."""
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import text
import vision
from world import GRID, PATCH, SIZE


def tensors(tower, projector, language, tied):
    """All parameters as bf16 under the names that hub LLaVA-1.5 checkpoints use; a tied `lm_head` is absent."""
    named = {f"vision_tower.vision_model.{key.removeprefix('vision_model.')}": value for key, value in tower.items()}
    named |= {f"multi_modal_projector.{key}": value for key, value in projector.items()}
    named |= {f"language_model.{key}": value for key, value in language.items() if not (tied and key.startswith("lm_head"))}
    return {key: value.to(torch.bfloat16).contiguous() for key, value in named.items() if not key.endswith("position_ids")}


def config(language):
    """config.json of a model with a decoder of shape `language`, with `rope_theta` and `torch_dtype` written the classical way, which every loader reads."""
    tower = vision.CONFIG
    return {
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "torch_dtype": "bfloat16",
        "image_token_index": text.IMAGE, "image_seq_length": GRID * GRID, "projector_hidden_act": "gelu",
        "multimodal_projector_bias": True, "vision_feature_layer": vision.FEATURE_LAYER,
        "vision_feature_select_strategy": "default", "tie_word_embeddings": language.tie_word_embeddings, "pad_token_id": text.PAD,
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": tower.hidden_size, "intermediate_size": tower.intermediate_size,
            "num_hidden_layers": tower.num_hidden_layers, "num_attention_heads": tower.num_attention_heads,
            "num_channels": 3, "image_size": SIZE, "patch_size": PATCH, "hidden_act": tower.hidden_act,
            "layer_norm_eps": tower.layer_norm_eps, "attention_dropout": 0.0, "projection_dim": tower.projection_dim},
        "text_config": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": language.vocab_size,
            "hidden_size": language.hidden_size, "intermediate_size": language.intermediate_size,
            "num_hidden_layers": language.num_hidden_layers, "num_attention_heads": language.num_attention_heads,
            "num_key_value_heads": language.num_key_value_heads, "head_dim": language.head_dim, "hidden_act": "silu",
            "max_position_embeddings": language.max_position_embeddings, "rms_norm_eps": language.rms_norm_eps,
            "rope_theta": 10000.0, "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
            "tie_word_embeddings": language.tie_word_embeddings, "bos_token_id": text.BOS, "eos_token_id": text.EOS, "pad_token_id": text.PAD}}


PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True, "size": {"shortest_edge": SIZE},
    "resample": 3, "do_center_crop": True, "crop_size": {"height": SIZE, "width": SIZE}, "do_rescale": True,
    "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [.5] * 3, "image_std": [.5] * 3}
PROCESSOR = {"processor_class": "LlavaProcessor", "image_token": "<image>", "num_additional_image_tokens": 1,
             "patch_size": PATCH, "vision_feature_select_strategy": "default"}
GENERATION = {"bos_token_id": text.BOS, "eos_token_id": text.EOS, "pad_token_id": text.PAD, "do_sample": False, "max_new_tokens": 32}


def write(folder, tower, projector, language, shape, card):
    """Writes the checkpoint, whose decoder has the `shape` of a LlamaConfig, beside `folder` and renames it into place; `card` is the text of README.md."""
    folder = Path(folder)
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file(tensors(tower, projector, language, shape.tie_word_embeddings), unfinished / "model.safetensors", metadata={"format": "pt"})
    text.make_tokenizer().save_pretrained(unfinished)
    for name, content in {"config": config(shape), "preprocessor_config": PREPROCESSOR, "processor_config": PROCESSOR,
                          "generation_config": GENERATION}.items():
        (unfinished / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    (unfinished / "model.safetensors").chmod(0o644)
    (unfinished / "README.md").write_text(card)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
