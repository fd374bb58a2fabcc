"""The random checkpoints: what each one is for, its configuration as written to config.json, its tokenizer.

A configuration here is the file itself: `mha` and `f16` leave out every key whose default is meant.
"""

import json
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WORDS = """
USER ASSISTANT : ? . , what is this that the a of in on part shown here leg trunk mast stalk wing tail head ear
eye paw hoof beak fin shell stem leaf root petal wheel door window roof wall chimney sail hull oar deck seat spoke red
green blue yellow white black grey brown striped dotted plain long short thick thin round square left right upper lower
front back inside outside above below near far animal plant ship house car bird fish horse dog cat tree flower boat
train plane cup spoon bowl knife fork plate table chair lamp book clock shoe hat coat bag ring key box one two three
four five six seven eight nine ten many few all none yes no not and or with without
""".split()

QUESTION = "what is this part of the animal ?"


@dataclass
class Case:
  """One checkpoint. `names`: its tensor naming; `image`: width and height of its picture; `outline`: smaller goldens;
  `small_cuts`: smaller goldens of the cuts; `negative_gelu`: see `randomise`."""

  name: str
  seed: int
  config: dict
  names: str
  tokenizer: str
  prompt: str
  about: str
  dtype: str = "float32"
  shards: int = 1
  negative_gelu: bool = False
  variants: tuple = ("clean", "vision_cut", "text_cut")
  outline: bool = False
  small_cuts: bool = False
  image: tuple = (61, 47)


def joined(architecture, decoder, text, vision, **top):
  """A config.json of any architecture: `architecture` is its class without ForConditionalGeneration."""
  types = {"Llava": "llava", "VipLlava": "vipllava", "LlavaNext": "llava_next"}
  return {
    "architectures": [architecture + "ForConditionalGeneration"],
    "model_type": types[architecture],
    "text_config": {"model_type": decoder, **text},
    "vision_config": {"model_type": "clip_vision_model", **vision},
    **top,
  }


def minimal_llava(text, vision, **top):
  return joined("Llava", "llama", text, vision, **top)


MHA_TEXT = dict(
  hidden_size=48, intermediate_size=72, num_hidden_layers=3, num_attention_heads=4, vocab_size=167,
  max_position_embeddings=96,
)  # fmt: skip
MHA_VISION = dict(
  hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, image_size=30, patch_size=6,
)  # fmt: skip
GQA_TEXT = dict(
  hidden_size=56, intermediate_size=76, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
  vocab_size=151, max_position_embeddings=128, rms_norm_eps=1e-3, hidden_act="silu", head_dim=14,
  attention_bias=False, mlp_bias=False, tie_word_embeddings=False,
  rope_parameters={"rope_theta": 500000.0, "rope_type": "default"},
)  # fmt: skip
GQA_VISION = dict(
  hidden_size=30, intermediate_size=44, num_hidden_layers=2, num_attention_heads=5, image_size=28, patch_size=7,
  hidden_act="gelu", layer_norm_eps=1e-3, num_channels=3, projection_dim=16, attention_dropout=0.0,
)  # fmt: skip
GQA_TOP = dict(
  vision_feature_layer=-1, vision_feature_select_strategy="full", projector_hidden_act="gelu", image_seq_length=17,
  multimodal_projector_bias=True, tie_word_embeddings=False, image_token_index=5,
)  # fmt: skip

CASES = [
  Case(
    "mha", 11, minimal_llava(MHA_TEXT, MHA_VISION, image_token_index=4), names="hub", tokenizer="words",
    prompt=f"USER : <image> {QUESTION} ASSISTANT :",
    about="multi-head; feature layer -2, CLS dropped; quick_gelu; every default left out of config.json",
  ),
  Case(
    "gqa", 23, minimal_llava(GQA_TEXT, GQA_VISION, **GQA_TOP), names="saved", tokenizer="bpe",
    prompt="USER: <image>\nwhat is this part? ASSISTANT:",
    about="2 key/value heads of 4; feature layer -1, CLS kept (17 image tokens); exact gelu; eps 1e-3; theta 5e5",
  ),
  Case(
    "tied", 43,
    minimal_llava(
      dict(hidden_size=40, intermediate_size=60, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
           head_dim=16, vocab_size=167, max_position_embeddings=64, rope_theta=1000000.0, rms_norm_eps=1e-5,
           tie_word_embeddings=True),
      dict(hidden_size=36, intermediate_size=52, num_hidden_layers=4, num_attention_heads=3, image_size=35,
           patch_size=7, hidden_act="gelu_pytorch_tanh", projection_dim=768),
      image_token_index=4, vision_feature_layer=-3, vision_feature_select_strategy="default",
      projector_hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True, torch_dtype="float32",
    ),
    names="hub", tokenizer="words_bos", prompt=f"USER : <image> {QUESTION} ASSISTANT :",
    about="tied embeddings; 1 key/value head of 4, head width 16 in width 40; feature layer -3; tanh gelu; theta 1e6 "
          "spelled the old way; 2 shards with an index",
    shards=2, negative_gelu=True,
  ),
  Case(
    "bf16", 44, minimal_llava(GQA_TEXT, GQA_VISION, dtype="bfloat16", **GQA_TOP), names="modules", tokenizer="bpe",
    prompt="USER: <image>\nwhat is this part? ASSISTANT:", dtype="bfloat16",
    about="gqa's shape with bf16 weights, computed in f32; transformers-5 module names",
    variants=("clean",), outline=True,
  ),
  Case(
    "f16", 53, minimal_llava(MHA_TEXT | dict(num_hidden_layers=2), MHA_VISION, image_token_index=4,
                             torch_dtype="float16"),
    names="hub", tokenizer="words", prompt=f"USER : <image> {QUESTION} ASSISTANT :", dtype="float16",
    about="mha's shape with f16 weights, computed in f32", variants=("clean",), outline=True,
  ),
  Case(
    "mistral", 61,
    joined(
      "Llava", "mistral",
      dict(hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
           head_dim=10, vocab_size=167, max_position_embeddings=64, rms_norm_eps=1e-5, sliding_window=44),
      dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, image_size=31,
           patch_size=7, hidden_act="gelu"),
      image_token_index=4,
    ),
    names="saved", tokenizer="words", prompt=f"USER : <image> {QUESTION} ASSISTANT :", small_cuts=True,
    about="BakLLaVA: grouped queries, head width 10 in width 32, a window that the sequence just fills; 31 pixels of "
          "which patches of 7 read 28",
  ),
  Case(
    "vip", 72,
    joined(
      "VipLlava", "llama",
      dict(hidden_size=36, intermediate_size=44, num_hidden_layers=2, num_attention_heads=3, vocab_size=167,
           max_position_embeddings=64),
      dict(hidden_size=20, intermediate_size=32, num_hidden_layers=5, num_attention_heads=2, image_size=24,
           patch_size=6, layer_norm_eps=1e-5),
      image_token_index=4, vision_feature_layers=[-2, -4, 1], projector_layernorm_eps=0.1,
    ),
    names="hub", tokenizer="words_bos", prompt=f"USER : <image> {QUESTION} ASSISTANT :", small_cuts=True,
    about="ViP-LLaVA: hidden states 4, 2 and 1 side by side, normed with eps 0.1; vision layer 4 is dead",
  ),
  Case(
    "next_llama", 83,
    joined(
      "LlavaNext", "llama",
      dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, vocab_size=167,
           max_position_embeddings=96),
      dict(hidden_size=18, intermediate_size=28, num_hidden_layers=3, num_attention_heads=3, image_size=12,
           patch_size=4),
      image_token_index=4, image_grid_pinpoints=[[12, 24], [24, 12], [24, 24], [36, 12], [12, 36]],
      use_image_newline_parameter=True,
    ),
    names="hub", tokenizer="words", prompt=f"USER : <image> {QUESTION} ASSISTANT :", small_cuts=True,
    about="LLaVA-NeXT on Vicuna: 2 x 2 tiles, padding above and below",
  ),
  Case(
    "next_mistral", 97,
    joined(
      "LlavaNext", "mistral",
      dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
           vocab_size=151, max_position_embeddings=96, sliding_window=None,
           rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"}),
      dict(hidden_size=18, intermediate_size=28, num_hidden_layers=2, num_attention_heads=3, image_size=14,
           patch_size=4, hidden_act="gelu"),
      image_token_index=5, image_grid_pinpoints=[[14, 28], [28, 14], [28, 28], [42, 14], [14, 42]],
    ),
    names="saved", tokenizer="bpe", prompt="USER: <image>\nwhat is this part? ASSISTANT:", image=(29, 70),
    variants=("clean",), outline=True,
    about="LLaVA-NeXT on Mistral: 3 x 1 tiles, padding left and right, 14 pixels of which patches of 4 read 12",
  ),
]  # fmt: skip

SPECIALS = ["<unk>", "<s>", "</s>", "<pad>"]


def add_specials(tokenizer, image):
  tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in [*SPECIALS, image]])
  return tokenizer


def word_tokenizer(bos):
  """Whitespace and words; `<image>` is id 4. With `bos`, a template puts <s> first."""
  vocabulary = {word: index for index, word in enumerate([*SPECIALS, "<image>", *dict.fromkeys(WORDS)])}
  tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
  tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
  if bos:
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
  return add_specials(tokenizer, "<image>")


def bpe_tokenizer():
  """Llama's own arrangement in small: spaces become U+2581, merges over characters, <s> first; `<image>` is id 5."""
  spaces = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
  trained = Tokenizer(models.BPE())
  trained.normalizer = spaces
  # The line feed and <image> are given to the trainer as special for their ids alone.
  trainer = trainers.BpeTrainer(
    vocab_size=147, special_tokens=[*SPECIALS, "\n", "<image>"], show_progress=False, max_token_length=6
  )
  corpus = [" ".join(WORDS[start : start + 7]) for start in range(0, len(WORDS), 7)]
  trained.train_from_iterator(corpus, trainer)
  model = json.loads(trained.to_str())["model"]
  merges = [tuple(pair) for pair in model["merges"]]
  tokenizer = Tokenizer(models.BPE(model["vocab"], merges, unk_token="<unk>", fuse_unk=True))
  tokenizer.normalizer = spaces
  tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
  tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
  return add_specials(tokenizer, "<image>")


def tokenizer(kind):
  return {
    "words": lambda: word_tokenizer(False),
    "words_bos": lambda: word_tokenizer(True),
    "bpe": bpe_tokenizer,
  }[kind]()
