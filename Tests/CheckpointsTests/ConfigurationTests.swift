import Checkpoints
import Foundation
import Testing

/// config.json of a Hugging Face `llava` folder: defaults filled in, and everything not understood refused by name.
@Suite struct ConfigurationTests {
  /// A folder with a config.json, and a generation_config.json where one is given.
  private func load(_ json: String, generation: String? = nil) throws -> ModelConfiguration {
    let folder = NSTemporaryDirectory() + "/config-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try json.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    try generation?.write(toFile: folder + "/generation_config.json", atomically: true, encoding: .utf8)
    return try ModelConfiguration(folder: folder)
  }

  private func config(_ top: String = "", text: String = "", vision: String = "") -> String {
    let comma = top.isEmpty ? "" : ", "
    return #"{"model_type": "llava"\#(comma)\#(top), "text_config": {\#(text)}, "vision_config": {\#(vision)}}"#
  }

  @Test func `omitted keys have the defaults of transformers`() throws {
    let c = try load(config())
    #expect(c.imageTokenIndex == 32000 && c.projectorActivation == .gelu && c.projectorBias)
    #expect(c.visionFeatureLayers == [-2] && c.visionFeatureSelect == .default && c.eosTokenIds == [2])
    #expect((c.vision.width, c.vision.mlpWidth, c.vision.layers, c.vision.heads) == (768, 3072, 12, 12))
    #expect(
      (c.vision.imageSize, c.vision.patchSize, c.vision.eps) == (224, 32, 1e-5) && c.vision.activation == .quickGelu)
    #expect((c.text.width, c.text.mlpWidth, c.text.layers, c.text.heads) == (4096, 11008, 32, 32))
    #expect((c.text.kvHeads, c.text.headWidth, c.text.vocabulary, c.text.maxPositions) == (32, 128, 32000, 2048))
    #expect(c.text.eps == 1e-6 && c.text.ropeTheta == 10000 && !c.text.tiedEmbeddings)
    #expect(c.visionLayersUsed == 11 && c.imageTokens == 49)
    #expect(c.text.slidingWindow == nil && c.projectorNormEps == nil)
  }

  @Test func `without a vision configuration the tower is a ViT-L of 336 pixels, as in transformers`() throws {
    let c = try load(#"{"model_type": "llava"}"#)
    #expect((c.vision.width, c.vision.mlpWidth, c.vision.layers, c.vision.heads) == (1024, 4096, 24, 16))
    #expect((c.vision.imageSize, c.vision.patchSize, c.imageTokens) == (336, 14, 576))
  }

  @Test func `Mistral's omitted keys have its own defaults, and a null window is none`() throws {
    let mistral = try load(config(text: #""model_type": "mistral""#)).text
    #expect(
      (mistral.mlpWidth, mistral.kvHeads, mistral.maxPositions, mistral.slidingWindow) == (14336, 8, 131_072, 4096))
    let nulls = #""model_type": "mistral", "sliding_window": null, "num_key_value_heads": null"#
    let c = try load(config(text: nulls)).text
    #expect(c.slidingWindow == nil && c.kvHeads == 32)
  }

  @Test func `ViP-LLaVA reads several layers, norms them and drops CLS`() throws {
    let c = try load(#"{"model_type": "vipllava"}"#)
    #expect(c.visionFeatureLayers == [-2, -5, -8, -11, 6] && c.visionHiddenStates == [23, 20, 17, 14, 6])
    #expect(c.visionLayersUsed == 23 && c.projectorInputs == 5 * 1024 && c.imageTokens == 576)
    #expect(c.projectorNormEps == 1e-5 && c.projectorBias)
    for key in ["vision_feature_layers", "vision_feature_layer"] {
      let c = try load(#"{"model_type": "vipllava", "\#(key)": [0, -1, 3]}"#)
      #expect(c.visionHiddenStates == [0, 24, 3] && c.visionLayersUsed == 24)
    }
    for bad in ["[0]", "[]", "[25]", #"["-2"]"#, "[true]"] {
      #expect(throws: CheckpointError.self) {
        _ = try load(#"{"model_type": "vipllava", "vision_feature_layer": \#(bad)}"#)
      }
    }
  }

  @Test func `a null is an omitted key, and head_dim follows from the others`() throws {
    let c = try load(
      config(text: #""num_key_value_heads": null, "hidden_size": 96, "num_attention_heads": 6, "head_dim": null"#))
    #expect(c.text.kvHeads == 6 && c.text.headWidth == 16)
  }

  @Test(arguments: [
    (#""vision_feature_layers": -1"#, "", "", "vision_feature_layers"),
    ("", #""sliding_window": 512"#, "", "text_config.sliding_window"),
    ("", "", #""num_register_tokens": 4"#, "vision_config.num_register_tokens"),
    ("", #""rope_parameters": {"rope_type": "default", "factor": 8.0}"#, "", "text_config.rope_parameters.factor"),
  ]) func `an unknown key is refused by name`(top: String, text: String, vision: String, key: String) {
    let error = #expect(throws: CheckpointError.self) { _ = try load(config(top, text: text, vision: vision)) }
    #expect(error?.diagnosis.what.contains("the key is not known to Ablate") == true)
    #expect(error?.diagnosis.place.hasSuffix("config.json: \(key)") == true)
  }

  @Test(arguments: [
    ("", #""attention_bias": true"#, "", "text_config.attention_bias"),
    ("", #""mlp_bias": true"#, "", "text_config.mlp_bias"),
    ("", #""hidden_act": "gelu""#, "", "text_config.hidden_act"),
    ("", #""pretraining_tp": 2"#, "", "text_config.pretraining_tp"),
    ("", #""rope_scaling": {"type": "linear"}"#, "", "text_config.rope_scaling.type"),
    ("", #""rope_parameters": {"rope_type": "llama3"}"#, "", "text_config.rope_parameters.rope_type"),
    ("", #""model_type": "gpt2""#, "", "text_config.model_type"),
    ("", "", #""model_type": "siglip_vision_model""#, "vision_config.model_type"),
    ("", "", #""num_channels": 1"#, "vision_config.num_channels"),
    ("", "", #""hidden_act": "relu""#, "vision_config.hidden_act"),
    (#""vision_feature_select_strategy": "cls""#, "", "", "vision_feature_select_strategy"),
    (#""projector_hidden_act": "relu6""#, "", "", "projector_hidden_act"),
  ]) func `a value that changes the model beyond what is computed is refused by key`(
    top: String, text: String, vision: String, key: String
  ) {
    let error = #expect(throws: CheckpointError.self) { _ = try load(config(top, text: text, vision: vision)) }
    #expect(error?.diagnosis.what.hasPrefix("unsupported: ") == true && error?.diagnosis.exit == .badData)
    #expect(error?.diagnosis.place.hasSuffix(key) == true, "\(String(describing: error))")
  }

  @Test(arguments: ["vipllava", "llava_next"])
  func `a kept CLS row is refused with the reason where transformers has none`(type: String) throws {
    let key = #""vision_feature_select_strategy""#
    let error = #expect(throws: CheckpointError.self) { _ = try load(#"{"model_type": "\#(type)", \#(key): "full"}"#) }
    #expect(error?.diagnosis.remedy.contains("CLS row") == true, "\(String(describing: error))")
  }

  @Test func `keys that change nothing may hold anything`() throws {
    let c = try load(
      config(
        #""architectures": ["X"], "torch_dtype": "float16", "transformers_version": "9", "pad_token_id": 7"#,
        text: #""attention_dropout": 0.5, "use_cache": false, "temperature": 3, "_name_or_path": "x""#,
        vision: #""projection_dim": 5, "initializer_factor": 2.0"#))
    #expect(try c == load(config()))
  }

  @Test(arguments: [
    (#""hidden_size": "48""#, "text_config.hidden_size"), (#""hidden_size": 48.5"#, "text_config.hidden_size"),
    (#""hidden_size": 0"#, "text_config.hidden_size"), (#""num_hidden_layers": -3"#, "text_config.num_hidden_layers"),
    (#""vocab_size": 99999999999"#, "text_config.vocab_size"), (#""rope_theta": "x""#, "text_config.rope_theta"),
    (#""num_attention_heads": 6, "num_key_value_heads": 4"#, "text_config"),
    (#""hidden_size": 33, "num_attention_heads": 11, "num_key_value_heads": 11"#, "text_config"),
    (#""hidden_size": true"#, "text_config.hidden_size"),
  ]) func `a value of the wrong type or size is refused by key`(text: String, key: String) {
    let error = #expect(throws: CheckpointError.self) { _ = try load(config(text: text)) }
    #expect(error?.diagnosis.place.hasSuffix(": \(key)") == true, "\(String(describing: error))")
  }

  @Test(arguments: [(-1, 12), (-2, 11), (-12, 1), (1, 1), (12, 12)]) func `the feature layer names a hidden state`(
    layer: Int, used: Int
  ) throws {
    #expect(try load(config(#""vision_feature_layer": \#(layer)"#)).visionLayersUsed == used)
  }

  @Test(arguments: [-13, -14, 0, 13, 99]) func `a feature layer that is no layer's output is refused`(layer: Int) {
    let error = #expect(throws: CheckpointError.self) { _ = try load(config(#""vision_feature_layer": \#(layer)"#)) }
    #expect(error?.diagnosis.what == "\(layer) is not a hidden state of an encoder of 12 layers")
  }

  @Test func `the end of sequence is the generation configuration's, else the text's, else 2`() throws {
    #expect(try load(config(text: #""eos_token_id": 9"#)).eosTokenIds == [9])
    #expect(try load(config(text: #""eos_token_id": [9, 11]"#)).eosTokenIds == [9, 11])
    #expect(
      try load(config(text: #""eos_token_id": 9"#), generation: #"{"eos_token_id": [3, 4]}"#).eosTokenIds == [3, 4])
    #expect(try load(config(text: #""eos_token_id": 9"#), generation: #"{"do_sample": true}"#).eosTokenIds == [9])
    #expect(try load(config()).eosTokenIds == [2])
  }

  @Test func `RoPE's base and tied embeddings are read where any version of transformers wrote them`() throws {
    #expect(try load(config(text: #""rope_theta": 500000"#)).text.ropeTheta == 500000)
    #expect(
      try load(config(text: #""rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}"#)).text.ropeTheta
        == 1_000_000)
    #expect(try load(config(text: #""tie_word_embeddings": true"#)).text.tiedEmbeddings)
    #expect(
      try load(config(#""tie_word_embeddings": false"#, text: #""tie_word_embeddings": true"#)).text.tiedEmbeddings
        == false)
    #expect(try load(config(#""image_token_id": 77"#)).imageTokenIndex == 77)
  }

  @Test func `a missing folder, a broken file and another architecture are refused`() {
    let missing = #expect(throws: CheckpointError.self) { _ = try ModelConfiguration(folder: "/nowhere") }
    #expect(missing?.diagnosis.exit == .missingInput)
    for (json, what) in [
      ("{", "the file is not valid JSON"), ("[]", "the file is not a JSON object"), ("{}", "the key is missing"),
    ] {
      let error = #expect(throws: CheckpointError.self) { _ = try load(json) }
      #expect(error?.diagnosis.what.hasPrefix(what) == true)
    }
    let other = #expect(throws: CheckpointError.self) { _ = try load(#"{"model_type": "qwen2_vl"}"#) }
    #expect(
      other?.diagnosis.what == "unsupported: 'qwen2_vl'"
        && other?.diagnosis.remedy.hasPrefix("this version runs: llava") == true)
  }
}
