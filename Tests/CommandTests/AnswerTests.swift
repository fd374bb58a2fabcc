import Foundation
import Testing

/// What the command answers where nothing is wrong, held against files that transformers made.
struct AnswerTests {
  private static let inputs = ["--model", mha, "--inputs", "\(mha)/goldens/clean.safetensors"]

  private func answer(_ words: [String], input: String = "") throws -> String {
    let outcome = try Command.run(words, in: Scratch(), input: input)
    try #require(outcome.status == 0, "\(words): \(outcome.errors)")
    #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(!outcome.output.contains("\u{1B}"))
    return outcome.output
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  // MARK: help and colours

  @Test func `help names every command and every exit code, and each command has help of its own`() throws {
    let help = try answer(["--help"])
    let commands = ["run", "plan", "report", "model", "generate", "capture", "tokenize", "bench"]
    for word in commands + ["64", "65", "66", "70", "75"] { #expect(help.contains(word), "\(word)") }
    for command in commands { #expect(try answer([command, "--help"]).contains("USAGE: ablate \(command)")) }
  }

  @Test func `the version is a version, also where the command starts itself once more`() throws {
    // libgomp reads its wait policy before main: without one in the environment the command sets it and starts again.
    for policy in ["passive", ""] {
      let outcome = try Command.run(["--version"], in: Scratch(), environment: ["OMP_WAIT_POLICY": policy])
      #expect(outcome.status == 0 && outcome.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil, "\(outcome.errors)")
    }
  }

  @Test(arguments: [[:], ["NO_COLOR": "1"], ["CLICOLOR_FORCE": "1"], ["TERM": "xterm-256color"], ["TERM": "dumb"]])
  func `what is not a terminal gets no escape codes`(environment: [String: String]) throws {
    let words = [
      ["--help"], ["generate"], ["model", "inspect", "none"], ["model", "inspect", mha], ["generate"] + Self.inputs,
    ]
    for words in words {
      let outcome = try Command.run(words, in: Scratch(), environment: environment)
      #expect(!(outcome.output + outcome.errors).contains("\u{1B}"), "\(words)")
    }
  }

  /// util-linux's script gives the command a terminal.
  @Test(arguments: [("", true), ("NO_COLOR=1 ", false), ("TERM=dumb ", false)])
  func `a terminal gets colours unless it asks for none`(setting: String, coloured: Bool) throws {
    let (scratch, script) = (try Scratch(), Process())
    script.executableURL = URL(fileURLWithPath: "/usr/bin/script")
    let command = "env -u NO_COLOR TERM=xterm \(setting)'\(try Command.path())' model inspect none"
    script.arguments = ["--quiet", "--return", "--command", command, scratch.file("terminal")]
    (script.standardInput, script.standardOutput) = (FileHandle.nullDevice, FileHandle.nullDevice)
    try script.run()
    script.waitUntilExit()
    let text = try scratch.read("terminal")
    #expect(script.terminationStatus == 66 && text.contains("no such file or folder"), "\(text)")
    #expect(text.contains("\u{1B}[31merror:") == coloured, "\(text)")
  }

  // MARK: inspect and tokenize

  @Test func `inspect gives JSON with the checkpoint's shape and every hook point`() throws {
    let facts = try object(try answer(["model", "inspect", mha, "--json"]))
    let points = try #require(facts["hook_points"] as? [String])
    let captured = try TensorFile("\(mha)/goldens/clean.safetensors").entries.keys
    for point in captured where point.contains(".") { #expect(points.contains(point), "\(point)") }
    #expect(points.contains("text.logits") && !points.contains { $0.hasPrefix("vision.2.") })
    #expect(Set(points).count == points.count)
    let weights = try TensorFile("\(mha)/model.safetensors").entries.filter { !$0.key.hasSuffix("position_ids") }
    #expect(facts["parameters"] as? Int == weights.values.reduce(0) { $0 + $1.shape.reduce(1, *) })
    #expect(facts["image_tokens"] as? Int == 25)
    #expect((facts["text"] as? [String: Any])?["layers"] as? Int == 3)
    #expect((facts["vision"] as? [String: Any])?["layers_used"] as? Int == 2)
    #expect((facts["digest"] as? String)?.count == 64)
  }

  @Test func `inspect prints the table of hook points`() throws {
    let text = try answer(["model", "inspect", mha])
    #expect(text.contains("text.L.resid_post     [rows, width]  L = 0-2"))
    #expect(text.contains("vision.L.pattern      [heads, rows, keys]  L = 0-1"))
    #expect(text.contains("3 layers (2 used: feature layer -2, select default)"))
  }

  @Test func `tokenize gives the ids and the text of each line`() throws {
    let words = ["tokenize", "--tokenizer", "\(mha)/tokenizer.json"]
    #expect(try answer(words, input: "what is this ?\nUSER : <image> leg\n\n") == "11 12 13 8\n5 7 4 23\n\n")
    let lines = try answer(words + ["--jsonl"], input: "\"leg \\u0074runk\"\n\"\"\n").split(separator: "\n").map(
      String.init)
    try #require(lines.count == 2)
    #expect(try object(lines[0])["ids"] as? [Int] == [23, 24])
    #expect(try object(lines[0])["text"] as? String == "leg trunk")
    #expect(try object(lines[1])["ids"] as? [Int] == [])
  }

  // MARK: generate

  @Test func `generated ids are those of transformers`() throws {
    let goldens = try TensorFile("\(mha)/goldens/clean.safetensors")
    let answer = try object(try answer(["generate", "--json", "--max-new-tokens", "16"] + Self.inputs))
    #expect(try answer["ids"] as? [Int] == goldens.integers("generated_ids"))
    #expect(try answer["prompt_ids"] as? [Int] == goldens.integers("input_ids"))
    let segments = try #require(answer["segments"] as? [[String: Any]])
    #expect(segments.map { $0["kind"] as? String } == ["prefix", "image", "question", "generated", "last"])
    #expect(segments.map { $0["first"] as? Int } == [0, 2, 27, 37, 36])
    #expect(segments.map { $0["count"] as? Int } == [2, 25, 10, 16, 1])
    #expect(segments[1]["grid"] as? [Int] == [5, 5])
  }

  @Test func `generated ids under a cut decoder are those of transformers`() throws {
    let goldens = try TensorFile("\(mha)/goldens/text_cut.safetensors").integers("generated_ids")
    let knockout = ["--plugin", "attention-knockout:tower=text"]
    let answer = try object(try answer(["generate", "--json", "--max-new-tokens", "16"] + knockout + Self.inputs))
    #expect(answer["ids"] as? [Int] == goldens)
    #expect(try goldens != TensorFile("\(mha)/goldens/clean.safetensors").integers("generated_ids"))
  }

  @Test func `the end of sequence ends the answer`() throws {
    let scratch = try Scratch()
    try scratch.checkpoint()
    let goldens = try TensorFile("\(mha)/goldens/clean.safetensors").integers("generated_ids")
    let end = try #require(goldens.firstIndex(of: 142))
    try scratch.write("{\"eos_token_id\": [3, 142]}", to: "model/generation_config.json")
    let outcome = try Command.run(
      ["generate", "--json", "--model", "./model", "--inputs", "\(mha)/goldens/clean.safetensors"], in: scratch)
    let ids = try #require(try object(outcome.output)["ids"] as? [Int])
    #expect(ids == Array(goldens[..<end]) || ids == Array(goldens[...end]))
  }

  @Test func `an image and a prompt are the inputs that transformers makes of them`() throws {
    let goldens = try TensorFile("\(mha)/goldens/clean.safetensors")
    let prompt = try #require(goldens.metadata["prompt"])
    let words = [
      "generate", "--model", mha, "--image", "\(mha)/image.png", "--prompt", prompt, "--max-new-tokens", "16",
    ]
    let answer = try object(try answer(words + ["--json"]))
    #expect(try answer["prompt_ids"] as? [Int] == goldens.integers("input_ids"))
    #expect(try answer["ids"] as? [Int] == goldens.integers("generated_ids"))
  }

  // MARK: capture

  @Test(arguments: [
    ("clean", []), ("text_cut", ["--plugin", "attention-knockout:tower=text"]),
    ("vision_cut", ["--plugin", "attention-knockout:tower=vision,cls=blind"]),
    ("clean", ["--plugin", "identity"]),
  ])
  func `captured activations are those of transformers`(variant: String, plugin: [String]) throws {
    let scratch = try Scratch()
    let goldens = try TensorFile("\(mha)/goldens/\(variant).safetensors")
    let points = goldens.entries.keys.filter { $0 == "logits" || $0.contains(".") }.sorted()
    try #require(points.count > 20)
    let outcome = try Command.run(
      ["capture", "--at", points.joined(separator: ","), "--out", "out.safetensors"] + Self.inputs + plugin, in: scratch
    )
    try #require(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.made == ["out.safetensors"])
    let file = try TensorFile(scratch.file("out.safetensors"))
    #expect(file.entries.keys.sorted() == points)
    for point in points {
      #expect(file.entries[point]?.shape == goldens.entries[point]?.shape, "\(point)")
      #expect(try difference(file.floats(point), goldens.floats(point)) <= 1e-5, "\(variant) \(point)")
    }
    #expect(try file.metadata["prompt_ids"] == goldens.integers("input_ids").map(String.init).joined(separator: " "))
    #expect(file.metadata["plugins"] == plugin.last ?? "")
    #expect(try object("{\"segments\": \(try #require(file.metadata["segments"]))}")["segments"] is [[String: Any]])
    #expect(file.metadata["model_digest"]?.count == 64)
  }

  @Test func `a cut that is left out is seen: the goldens differ`() throws {
    let clean = try TensorFile("\(mha)/goldens/clean.safetensors").floats("logits")
    for variant in ["text_cut", "vision_cut"] {
      #expect(try difference(TensorFile("\(mha)/goldens/\(variant).safetensors").floats("logits"), clean) > 1e-3)
    }
  }

  @Test func `layers are chosen by star, range, list and from the end`() throws {
    let scratch = try Scratch()
    let points = "text.*.z,vision.0-1.pattern,text.-1.resid_post,text.0-1,2.q,logits,logits"
    let outcome = try Command.run(
      ["capture", "--at", points, "--out", "out.safetensors"] + Self.inputs, in: scratch)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(
      try TensorFile(scratch.file("out.safetensors")).entries.keys.sorted() == [
        "logits", "text.0.q", "text.0.z", "text.1.q", "text.1.z", "text.2.q", "text.2.resid_post", "text.2.z",
        "vision.0.pattern", "vision.1.pattern",
      ])
  }

  // MARK: bench

  @Test func `bench tells milliseconds, the share of the peak and the cost of a visit`() throws {
    let text = try answer(["bench", "--repeats", "1", "--plugin", "identity"] + Self.inputs)
    let clean = /clean +\d+\.\d\d ms, \d+\.\d\d GFLOP, \d+ GFLOP\/s, \d+ % of the best, \d+ % of what is kept up/
    #expect(text.contains(clean), "\(text)")
    let share = /plugin +\d+\.\d\d ms, [+-]\d+\.\d\d % of a clean pass \(.* to .*\); \d+ visits, -?\d+ ns each/
    #expect(text.contains(share) && text.contains("identity: in-process: bundled"), "\(text)")
  }
}
