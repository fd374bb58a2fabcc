import Checkpoints
import Foundation
import Testing

/// `vision_config` of LLaVA-1.5, as on the hub.
private let vitL336 = """
  {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model",
   "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768, "vocab_size": 32000}
  """

/// The config.json of published checkpoints: defaults are left out of them, as on the hub. Parameters were counted by transformers 5.23.0
/// on torch's meta device.
@Suite struct `Configurations of published checkpoints` {
  private func load(_ json: String) throws -> ModelConfiguration {
    let folder = NSTemporaryDirectory() + "/config-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try json.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    return try ModelConfiguration(folder: folder)
  }

  private func llava(_ text: String, vision: String = vitL336, _ top: String = "") -> String {
    """
    {"architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100, "image_token_index": 32000,
     "model_type": "llava", "pad_token_id": 32001, "projector_hidden_act": "gelu", "tie_word_embeddings": false,
     "text_config": \(text), "torch_dtype": "float16", "transformers_version": "4.36.0.dev0", "vision_config": \(vision),
     "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": 32064\(top)}
    """
  }

  @Test func `LLaVA-1.5 7B`() throws {
    let text = """
      {"_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096,
       "model_type": "llama", "rms_norm_eps": 1e-05, "torch_dtype": "float16", "vocab_size": 32064}
      """
    let c = try load(llava(text, #", "image_seq_length": 576"#))
    #expect((c.text.width, c.text.mlpWidth, c.text.layers, c.text.heads, c.text.kvHeads) == (4096, 11008, 32, 32, 32))
    #expect((c.text.headWidth, c.text.vocabulary, c.text.maxPositions) == (128, 32064, 4096))
    #expect(c.text.eps == 1e-5 && c.text.ropeTheta == 10000 && c.text.slidingWindow == nil && !c.text.tiedEmbeddings)
    #expect(
      c.vision.activation == .quickGelu && c.vision.eps == 1e-5 && c.visionLayersUsed == 23 && c.imageTokens == 576)
    #expect(c.parameterCount == 7_063_427_072)
  }

  @Test func `LLaVA-1.5 13B`() throws {
    let text = """
      {"_name_or_path": "lmsys/vicuna-13b-v1.5", "architectures": ["LlamaForCausalLM"], "hidden_size": 5120,
       "intermediate_size": 13824, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 40,
       "num_hidden_layers": 40, "num_key_value_heads": 40, "rms_norm_eps": 1e-05, "torch_dtype": "float16", "vocab_size": 32064}
      """
    let c = try load(llava(text))
    #expect((c.text.width, c.text.layers, c.text.kvHeads, c.text.headWidth) == (5120, 40, 40, 128))
    #expect(c.parameterCount == 13_351_494_656)
  }

  @Test func `BakLLaVA is llava on mistral, with a window that no prompt of its fills`() throws {
    let text = """
      {"architectures": ["MistralForCausalLM"], "intermediate_size": 14336, "max_position_embeddings": 32768,
       "model_type": "mistral", "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "sliding_window": 4096, "vocab_size": 32064}
      """
    let c = try load(llava(text))
    #expect(c.text.family == .mistral && c.text.kvHeads == 8 && c.text.headWidth == 128 && c.text.slidingWindow == 4096)
    #expect(c.parameterCount == 7_566_743_552)
  }

  @Test(arguments: [
    (#"{"model_type": "llama", "max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "vocab_size": 32064}"#, 32),
    (
      #"{"model_type": "mistral", "intermediate_size": 14336, "max_position_embeddings": 32768, "num_key_value_heads": 8, "#
        + #""rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null, "vocab_size": 32064}"#, 8
    ),
  ]) func `LLaVA-NeXT 7B on Vicuna and on Mistral`(text: String, kvHeads: Int) throws {
    let json = """
      {"architectures": ["LlavaNextForConditionalGeneration"], "ignore_index": -100,
       "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]], "image_token_index": 32000,
       "model_type": "llava_next", "projector_hidden_act": "gelu", "text_config": \(text), "tie_word_embeddings": false,
       "use_image_newline_parameter": true, "vision_config": \(vitL336), "vision_feature_layer": -2,
       "vision_feature_select_strategy": "default", "vocab_size": 32064}
      """
    let c = try load(json)
    #expect(c.architecture == .llavaNext && c.gridPinpoints.count == 5 && c.text.kvHeads == kvHeads)
    #expect(c.gridPinpoints.best(width: 672, height: 672) == GridPinpoint(height: 672, width: 672))
    #expect(c.parameterCount == (kvHeads == 32 ? 7_063_431_168 : 7_566_747_648))
  }

  @Test func `ViP-LLaVA 7B`() throws {
    let json = """
      {"architectures": ["VipLlavaForConditionalGeneration"], "ignore_index": -100, "image_token_index": 32000,
       "model_type": "vipllava", "projector_hidden_act": "gelu", "projector_layernorm_eps": 1e-05,
       "text_config": {"max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-05, "vocab_size": 32064},
       "vision_config": \(vitL336), "vision_feature_layers": [-2, -5, -8, -11, 6], "vocab_size": 32064}
      """
    let c = try load(json)
    #expect(c.visionHiddenStates == [23, 20, 17, 14, 6] && c.visionLayersUsed == 23)
    #expect(c.parameterCount == 7_080_214_528)
  }

  @Test(arguments: [
    (#"{}"#, 768, 12, 49, 87_456_000), (#"{"hidden_act": "gelu", "patch_size": 16}"#, 768, 12, 196, 85_799_424),
    (
      #"{"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14}"#,
      1024, 24, 256, 303_179_776
    ),
    (vitL336, 1024, 24, 576, 303_507_456),
    (#"{"image_size": 230}"#, 768, 12, 49, 87_456_000),
  ]) func `CLIP ViT-B/32, B/16, L/14 and L/14-336`(
    vision: String, width: Int, layers: Int, patches: Int, parameters: Int
  ) throws {
    let c = try load(llava(#"{"model_type": "llama"}"#, vision: vision)).vision
    #expect(c.width == width && c.layers == layers && c.patches == patches && c.parameterCount == parameters)
  }

  @Test(arguments: ["mha", "gqa", "tied", "bf16", "f16", "mistral", "vip", "next_llama", "next_mistral"])
  func `the count from the configuration is that of the file`(name: String) throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fixtures/parity/\(name)").path
    #expect(try ModelConfiguration(folder: folder).parameterCount == WeightFiles(folder: folder).parameterCount)
  }
}
