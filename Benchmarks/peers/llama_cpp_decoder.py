"""llama.cpp: the decoder alone, on the embedded rows that transformers gives. Its weights go through a GGUF file that is
gone once they are mapped."""

import pathlib
import tempfile

import gguf
import llama_cpp
import numpy
import torch
from eager import Eager


class Decoder(Eager):
  def __init__(self, folder, dtype, inputs):
    super().__init__(folder, dtype, inputs)
    with torch.inference_mode():
      self.embed()
    rows, width = self.embedded.shape[1:]
    self.quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(self.quiet, None)
    llama_cpp.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / "decoder.gguf"
      write_gguf(self.model, self.text, path, dtype)
      self.llama = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    self.model = self.decoder = self.vision = None  # its weights are llama.cpp's now
    wanted = llama_cpp.llama_context_default_params()
    wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = rows
    if dtype == torch.float32:  # the default is f16
      wanted.type_k = wanted.type_v = gguf.GGMLQuantizationType.F32
    wanted.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED  # patterns are there, as in all others
    wanted.n_threads = wanted.n_threads_batch = torch.get_num_threads()
    self.context = llama_cpp.llama_init_from_model(self.llama, wanted)
    self.batch = llama_cpp.llama_batch_init(rows, width, 1)
    numpy.ctypeslib.as_array(self.batch.embd, (rows, width))[:] = self.embedded[0].float().numpy()
    self.batch.n_tokens = rows
    for row in range(rows):
      self.batch.pos[row], self.batch.n_seq_id[row], self.batch.seq_id[row][0] = row, 1, 0
      self.batch.logits[row] = row == rows - 1

  def first(self, what):
    if what != "decoder":
      raise NotImplementedError("llama.cpp's graph is changed in C++ only")
    return self.condition(what, 0)

  def condition(self, what, condition):
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
    if llama_cpp.llama_decode(self.context, self.batch) != 0:
      raise RuntimeError("llama_decode failed")
    logits = llama_cpp.llama_get_logits_ith(self.context, -1)
    return torch.from_numpy(numpy.ctypeslib.as_array(logits, (self.text.vocab_size,)).copy())


def write_gguf(model, config, path, dtype):
  heads, groups = config.num_attention_heads, config.num_key_value_heads
  writer = gguf.GGUFWriter(path, "llama")
  writer.add_block_count(config.num_hidden_layers)
  writer.add_context_length(config.max_position_embeddings)
  writer.add_embedding_length(config.hidden_size)
  writer.add_feed_forward_length(config.intermediate_size)
  writer.add_head_count(heads)
  writer.add_head_count_kv(groups)
  writer.add_layer_norm_rms_eps(config.rms_norm_eps)
  writer.add_rope_freq_base((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10000.0))
  writer.add_rope_dimension_count(config.hidden_size // heads)
  writer.add_vocab_size(config.vocab_size)
  writer.add_tokenizer_model("none")

  def add(name, tensor):
    values = tensor.detach().float().contiguous().numpy()
    if tensor.ndim == 1 or dtype == torch.float32:
      return writer.add_tensor(name, values)
    kind = gguf.GGMLQuantizationType.BF16
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

  def interleaved(weight, heads):
    """llama.cpp turns neighbours, transformers halves: rows of each head are reordered."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)

  language = model.model.language_model
  add("token_embd.weight", language.embed_tokens.weight)
  add("output_norm.weight", language.norm.weight)
  add("output.weight", model.lm_head.weight)
  for n, layer in enumerate(language.layers):
    attention, mlp = layer.self_attn, layer.mlp
    add(f"blk.{n}.attn_q.weight", interleaved(attention.q_proj.weight, heads))
    add(f"blk.{n}.attn_k.weight", interleaved(attention.k_proj.weight, groups))
    add(f"blk.{n}.attn_v.weight", attention.v_proj.weight)
    add(f"blk.{n}.attn_output.weight", attention.o_proj.weight)
    add(f"blk.{n}.ffn_gate.weight", mlp.gate_proj.weight)
    add(f"blk.{n}.ffn_up.weight", mlp.up_proj.weight)
    add(f"blk.{n}.ffn_down.weight", mlp.down_proj.weight)
    add(f"blk.{n}.attn_norm.weight", layer.input_layernorm.weight)
    add(f"blk.{n}.ffn_norm.weight", layer.post_attention_layernorm.weight)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
