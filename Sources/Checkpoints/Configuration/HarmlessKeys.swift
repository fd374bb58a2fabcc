/// Keys of config.json that do not change a forward pass in evaluation mode, so that they may hold any value. Everything else must
/// be understood by `ModelConfiguration`. Generation settings are among them: Ablate decodes greedily, whatever they say.
enum HarmlessKeys {
  static let all = bookkeeping.union(training).union(tokens).union(generation)

  private static let bookkeeping: Set<String> = [
    "_name_or_path", "_commit_hash", "_attn_implementation_autoset", "architectures", "auto_map", "dtype",
    "torch_dtype", "transformers_version", "torchscript", "use_cache", "return_dict", "output_attentions",
    "output_hidden_states", "is_encoder_decoder", "is_decoder", "add_cross_attention", "cross_attention_hidden_size",
    "chunk_size_feed_forward", "pruned_heads", "tf_legacy_loss", "use_bfloat16", "finetuning_task", "id2label",
    "label2id", "problem_type", "task_specific_params", "tie_encoder_decoder", "tokenizer_class", "prefix",
    "layer_types", "ignore_index", "image_seq_length", "vocab_size",
  ]
  private static let training: Set<String> = [
    "attention_dropout", "dropout", "hidden_dropout_prob", "initializer_range", "initializer_factor",
    "logit_scale_init_value", "gradient_checkpointing",
  ]
  private static let tokens: Set<String> = [
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id",
  ]
  private static let generation: Set<String> = [
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty",
    "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores",
    "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
    "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
  ]
}
