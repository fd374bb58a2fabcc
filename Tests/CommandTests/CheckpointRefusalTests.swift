import Foundation
import Testing

/// A checkpoint that is missing, damaged or of another kind.
struct CheckpointRefusalTests {
  /// Asks for a capture from the model in `scratch`: every refusal comes with a file that must not be left.
  private func capture(_ scratch: Scratch, model: String = "./model") throws -> Outcome {
    try Command.run(
      ["capture", "--model", model, "--inputs", "\(mha)/goldens/clean.safetensors", "--at", "logits"]
        + ["--out", "out.safetensors"], in: scratch)
  }

  private func expect(_ refusal: Refusal, _ damage: (Scratch) throws -> Void) throws {
    let scratch = try Scratch()
    try scratch.checkpoint()
    try damage(scratch)
    refusal.expect(try capture(scratch))
  }

  @Test func `that is undamaged is captured, so that each refusal below has its own cause`() throws {
    let scratch = try Scratch()
    try scratch.checkpoint()
    let outcome = try capture(scratch)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.made == ["out.safetensors"])
  }

  @Test(arguments: [
    ("./nowhere", "./nowhere", "checkpoint folder"), ("/nonexistent/model", "/nonexistent/model", "checkpoint folder"),
    (".", "./config.json", "checkpoint folder"), ("./a-file", "./a-file/config.json", "checkpoint folder"),
    ("no-such-model", "no-such-model", "bundled"),
  ])
  func `that is not there is named`(model: String, place: String, remedy: String) throws {
    let scratch = try Scratch()
    try scratch.write("x", to: "a-file")
    Refusal(model, 66, "no such file or folder", at: place, remedy: remedy).expect(try capture(scratch, model: model))
  }

  @Test func `that is bundled is found by its name, and a misspelt name is corrected`() throws {
    let (home, scratch) = (try Scratch(), try Scratch())
    let binary = try home.copy(Command.path(), to: "ablate")
    try home.checkpoint()
    try FileManager.default.createDirectory(atPath: home.file("checkpoints"), withIntermediateDirectories: false)
    try FileManager.default.moveItem(atPath: home.file("model"), toPath: home.file("checkpoints/small-llava"))
    let found = try Command.run(["model", "inspect", "small-llava"], in: scratch, binary: binary)
    #expect(found.status == 0 && found.output.hasPrefix("small-llava: llava"), "\(found.errors)")
    let misspelt = try Command.run(["model", "inspect", "smal-llava"], in: scratch, binary: binary)
    Refusal("misspelt", 66, "no such file", at: "smal-llava", remedy: "did you mean 'small-llava'?").expect(misspelt)
    try home.remove("checkpoints/small-llava")
    let none = try Command.run(["model", "inspect", "small-llava"], in: scratch, binary: binary)
    Refusal("none", 66, "no such file", at: "small-llava", remedy: "give the path of a checkpoint folder").expect(none)
  }

  @Test(arguments: ["config.json", "tokenizer.json", "model.safetensors"])
  func `without one of its files is refused by the file's name`(file: String) throws {
    // A folder without config.json is no checkpoint; what it lacks is said all the same.
    try expect(Refusal(file, 66, "no such file", at: "model/\(file)", remedy: " ")) { try $0.remove("model/\(file)") }
  }

  @Test(arguments: [0, 1, 7, 8, 9, 2000, 20000, 200_000, 392_551])
  func `cut off at any byte is refused and leaves nothing`(size: Int) throws {
    try expect(Refusal("\(size) bytes", 65, "", at: "model/model.safetensors", remedy: "download it again")) {
      try $0.write($0.bytes("model/model.safetensors").prefix(size), to: "model/model.safetensors")
    }
  }

  @Test func `whose header lies about a tensor is refused by the tensor's name`() throws {
    let lies: [(name: String, change: (inout [String: Any]) -> Void, what: String)] = [
      ("shape", { $0["shape"] = [3, 3] }, "needs 36 bytes"),
      ("negative", { $0["shape"] = [-1, 48] }, "impossible"),
      ("overflow", { $0["shape"] = [Int.max, Int.max] }, "impossible"),
      ("beyond", { $0["data_offsets"] = [0, 1 << 40] }, "lie outside the data"),
      ("backwards", { $0["data_offsets"] = [64, 0] }, "lie outside the data"),
      ("dtype", { $0["dtype"] = "F8_E5M2" }, "unsupported: dtype F8_E5M2"),
      ("keys", { $0["dtype"] = nil }, "needs dtype, shape and two data_offsets"),
    ]
    let tensor = "language_model.model.norm.weight"
    for lie in lies {
      try expect(Refusal(lie.name, 65, lie.what, at: "model.safetensors: \(tensor)", remedy: " ")) { scratch in
        let bytes = try scratch.bytes("model/model.safetensors")
        let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        try scratch.write(bytes.dropFirst(8).prefix(length), to: "header.json")
        try scratch.edit("header.json") { header in
          var entry = header[tensor] as? [String: Any] ?? [:]
          lie.change(&entry)
          header[tensor] = entry
        }
        let header = try scratch.bytes("header.json")
        let count = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
        try scratch.write(count + header + bytes.dropFirst(8 + length), to: "model/model.safetensors")
        try scratch.remove("header.json")
      }
    }
  }

  @Test func `with tensors of another shape than its configuration is refused by both shapes`() throws {
    let tensor = "language_model.model.norm.weight"
    try expect(Refusal("wide", 65, "shape [47], but the configuration needs [48]", at: tensor, remedy: "config.json")) {
      var file = try TensorFile($0.file("model/model.safetensors"))
      file.entries[tensor] = .init(type: "F32", shape: [47], bytes: Data(count: 188))
      try file.write(to: $0.file("model/model.safetensors"))
    }
    let place = "language_model.model.layers.0.mlp.gate_proj.weight"
    let refusal = Refusal(
      "deep", 65, "shape [72, 48], but the configuration needs [80, 48]", at: place, remedy: "config")
    try expect(refusal) {
      try $0.edit("model/config.json") { config in
        var text = config["text_config"] as? [String: Any] ?? [:]
        text["intermediate_size"] = 80
        config["text_config"] = text
      }
    }
  }

  @Test(arguments: [
    "language_model.lm_head.weight", "multi_modal_projector.linear_2.bias",
    "vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight",
  ])
  func `without a tensor is refused by the tensor's name`(tensor: String) throws {
    try expect(Refusal(tensor, 65, "the tensor is missing", at: tensor, remedy: "a shard is missing")) {
      var file = try TensorFile($0.file("model/model.safetensors"))
      try #require(file.entries.removeValue(forKey: tensor) != nil)
      try file.write(to: $0.file("model/model.safetensors"))
    }
  }

  @Test func `without one of its shards is refused by the shard's name`() throws {
    let scratch = try Scratch()
    try scratch.checkpoint("tied")
    try scratch.remove("model/model-00002-of-00002.safetensors")
    Refusal("shard", 66, "no such file", at: "model/model-00002-of-00002.safetensors", remedy: "fetch the file again")
      .expect(try capture(scratch))
    try scratch.write("{\"weight_map\": {\"a\": \"../b.safetensors\"}}", to: "model/model.safetensors.index.json")
    Refusal("outside", 65, "a shard must lie in the folder itself", at: "../b.safetensors", remedy: "move it there")
      .expect(try capture(scratch))
    try scratch.write("{\"weight_map\"", to: "model/model.safetensors.index.json")
    Refusal("index", 65, "not valid JSON", at: "model.safetensors.index.json", remedy: "download it again")
      .expect(try capture(scratch))
  }

  @Test(arguments: [
    Refusal(
      "model_type", 65, "unsupported: 'qwen2_vl'", at: "config.json: model_type", remedy: "runs: llava, vipllava"),
    Refusal("text_config", 65, "unsupported: 'gemma'", at: "text_config.model_type", remedy: "runs: llama"),
    Refusal("vision_config", 65, "unsupported: 'siglip'", at: "vision_config.model_type", remedy: "clip_vision_model"),
  ])
  func `of an architecture that is not computed is refused by its name`(_ refusal: Refusal) throws {
    let types = ["model_type": "qwen2_vl", "text_config": "gemma", "vision_config": "siglip"]
    try expect(refusal) {
      try $0.edit("model/config.json") { config in
        if refusal.name == "model_type" { config["model_type"] = types[refusal.name] }
        if var part = config[refusal.name] as? [String: Any] {
          part["model_type"] = types[refusal.name]
          config[refusal.name] = part
        }
      }
    }
  }

  @Test(arguments: [
    ("", "image_seq_length_scale", "image_seq_length_scale"),
    ("text_config", "sliding_window", "text_config.sliding_window"),
    ("vision_config", "use_head", "vision_config.use_head"),
  ])
  func `with a configuration key that is not known is refused by the key's name`(
    part: String, key: String, place: String
  ) throws {
    try expect(Refusal(key, 65, "the key is not known to Ablate", at: "config.json: \(place)", remedy: "report")) {
      try $0.edit("model/config.json") { config in
        guard var inner = config[part] as? [String: Any] else {
          config[key] = 4
          return
        }
        inner[key] = 4
        config[part] = inner
      }
    }
  }

  @Test func `with a configuration value that cannot be is refused by the key's name`() throws {
    let cases: [(key: String, value: Any, what: String)] = [
      ("num_hidden_layers", 0, "0 is outside 1...1000000"), ("hidden_size", "wide", "expected a whole number"),
      ("num_attention_heads", -4, "-4 is outside"), ("vocab_size", 1e300, "expected a whole number"),
      ("rope_scaling", ["rope_type": "yarn"], "unsupported: yarn"), ("attention_bias", true, "unsupported: true"),
      ("tie_word_embeddings", "no", "expected true or false"), ("hidden_act", "relu", "unsupported: relu"),
    ]
    for (key, value, what) in cases {
      try expect(Refusal(key, 65, what, at: "config.json: text_config.\(key)", remedy: " ")) {
        try $0.edit("model/config.json") { config in
          var text = config["text_config"] as? [String: Any] ?? [:]
          text[key] = value
          config["text_config"] = text
        }
      }
    }
    try expect(Refusal("cut", 65, "not valid JSON", at: "model/config.json", remedy: "download it again")) {
      try $0.write($0.bytes("model/config.json").prefix(200), to: "model/config.json")
    }
  }

  @Test func `whose tokenizer or image settings are damaged is refused by the file's name`() throws {
    try expect(Refusal("tokenizer", 65, "inside a string", at: "model/tokenizer.json", remedy: "download it again")) {
      try $0.write($0.bytes("model/tokenizer.json").prefix(1000), to: "model/tokenizer.json")
    }
    try expect(
      Refusal("settings", 65, "not three numbers", at: "preprocessor_config.json: image_mean", remedy: "R, G, B")
    ) {
      try $0.edit("model/preprocessor_config.json") { $0["image_mean"] = [0.5] }
    }
    let truth = Refusal("truth", 65, "neither true nor false", at: "do_center_crop", remedy: "fetch it again")
    try expect(truth) { try $0.edit("model/preprocessor_config.json") { $0["do_center_crop"] = 3 } }
    let key = Refusal("key", 65, "unsupported: the setting \"pad\"", at: "tokenizer.json: pad", remedy: "report")
    try expect(key) { try $0.edit("model/tokenizer.json") { $0["pad"] = 3 } }
  }
}
