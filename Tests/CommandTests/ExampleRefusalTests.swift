import Foundation
import Testing

/// A prompt, an image, inputs, hook points or rows that cannot be used.
struct ExampleRefusalTests {
  private static let inputs = "\(mha)/goldens/clean.safetensors"
  private static let prompt = "USER : <image> what is this ? ASSISTANT :"

  private func capture(
    _ scratch: Scratch, inputs: String = ExampleRefusalTests.inputs, at points: String = "logits",
    out: String = "out.safetensors", _ more: [String] = []
  ) throws -> Outcome {
    try Command.run(
      ["capture", "--model", mha, "--inputs", inputs, "--at", points, "--out", out] + more, in: scratch)
  }

  private func look(_ scratch: Scratch, at image: String, prompt: String = ExampleRefusalTests.prompt) throws -> Outcome
  {
    try Command.run(
      ["capture", "--model", mha, "--image", image, "--prompt", prompt, "--at", "logits", "--out", "out.safetensors"],
      in: scratch)
  }

  // MARK: the command line

  @Test(arguments: [
    (["bogus"], "Unexpected argument 'bogus'"), (["generate"], "Missing expected argument '--model <model>'"),
    (["capture", "--model", "x", "--inputs", "x", "--out", "x"], "'--at <at>'"),
    (["generate", "--model", "x", "--max-new-tokens=-3"], "must not be negative"),
    (["generate", "--model", "x", "--max-new-tokens", "many"], "'many' is invalid"),
    (["bench", "--model", "x", "--repeats", "0"], "--repeats must lie in 1...1000000"),
    (["generate", "--model", "x", "--imag", "y"], "did you mean '--image'?"), (["tokenize"], "--tokenizer"),
    (["run"], "manifest"),
  ])
  func `a command that is not one exits with 64 and shows how it is used`(words: [String], told: String) throws {
    let outcome = try Command.run(words, in: Scratch())
    #expect(outcome.status == 64, "\(words)")
    #expect(outcome.errors.lowercased().contains(told.lowercased()), "\(outcome.errors)")
    #expect(outcome.errors.contains("Usage: ablate"), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
  }

  @Test func `an example that is named twice, or by half, is refused before the model is opened`() throws {
    let scratch = try Scratch()
    let cases: [([String], String)] = [
      (["--image", "x.png"], "an image and a prompt are needed"), (["--prompt", "<image>"], "an image and a prompt"),
      ([], "an image and a prompt"), (["--inputs", "x", "--image", "y"], "--inputs stands in place of"),
    ]
    for (words, what) in cases {
      for command in [["generate"], ["bench"], ["capture", "--at", "logits", "--out", "out.safetensors"]] {
        let outcome = try Command.run(command + ["--model", "./nowhere"] + words, in: scratch)
        Refusal("\(command[0]) \(words)", 64, what, at: "command line", remedy: "--inputs alone").expect(outcome)
      }
    }
  }

  @Test func `more tokens than the model has positions are refused, however many`() throws {
    for (count, what) in [
      ("60", "97 tokens with those to come, but the model has 96 positions"),
      ("99999999", "99999999 new tokens"), ("9223372036854775807", "9223372036854775807 new tokens"),
    ] {
      let outcome = try Command.run(
        ["generate", "--model", mha, "--inputs", Self.inputs, "--max-new-tokens", count], in: Scratch())
      Refusal(count, 65, what, at: "prompt", remedy: "ask for fewer").expect(outcome)
    }
    let long = String(repeating: "leg ", count: 200) + "<image>"
    Refusal("long", 65, "225 tokens", at: "prompt", remedy: "shorten the prompt")
      .expect(try look(Scratch(), at: "\(mha)/image.png", prompt: long))
  }

  // MARK: prompt and image

  @Test(arguments: [("what is this ?", 0), ("", 0), ("<image> and <image>", 2), ("<image><image><image>", 3)])
  func `a prompt that has not exactly one image token is refused`(prompt: String, count: Int) throws {
    let what = "must contain the image token exactly once, it has it \(count) times"
    Refusal("'\(prompt)'", 65, what, at: "prompt '\(prompt)'", remedy: "write <image> where the image belongs")
      .expect(try look(Scratch(), at: "\(mha)/image.png", prompt: prompt))
  }

  @Test func `an image that is damaged, cut off, no image or not there is refused by its path`() throws {
    let scratch = try Scratch()
    let photographs = repository + "/Tests/CheckpointsTests/Fixtures/images"
    let jpeg = try Data(contentsOf: URL(fileURLWithPath: "\(photographs)/chelsea-420.jpg"))
    let png = try Data(contentsOf: URL(fileURLWithPath: "\(photographs)/chelsea-rgba.png"))
    var broken = png
    broken[png.count / 2] ^= 0xFF
    for size in [200, 2000, jpeg.count / 2, jpeg.count - 20] {
      try scratch.write(jpeg.prefix(size), to: "\(size).jpg")
      Refusal("\(size) of JPEG", 65, "corrupt JPEG", at: "\(size).jpg", remedy: "fetch the file again")
        .expect(try look(scratch, at: "\(size).jpg"))
    }
    for size in [8, 30, png.count / 2, png.count - 20] {
      try scratch.write(png.prefix(size), to: "\(size).png")
      Refusal("\(size) of PNG", 65, "corrupt PNG", at: "\(size).png", remedy: "fetch the file again")
        .expect(try look(scratch, at: "\(size).png"))
    }
    try scratch.write(broken, to: "broken.png")
    try scratch.write("<svg/>", to: "text.jpg")
    try scratch.write("GIF89a", to: "moving.gif")
    try scratch.write("", to: "empty.png")
    try scratch.write(jpeg.prefix(3), to: "start.jpg")
    for refusal in [
      Refusal("broken.png", 65, "corrupt PNG", at: "broken.png", remedy: "fetch the file again"),
      Refusal("text.jpg", 65, "not a JPEG, PNG or WebP image", at: "text.jpg", remedy: "is a picture"),
      Refusal("moving.gif", 65, "unsupported: GIF images", at: "moving.gif", remedy: "convert it to PNG or JPEG"),
      Refusal("start.jpg", 65, "0 x 0 pixels", at: "start.jpg", remedy: "fetch the file again"),
      Refusal("empty.png", 65, "not a JPEG, PNG or WebP image", at: "empty.png", remedy: "is a picture"),
      Refusal("none.png", 66, "no such file", at: "none.png", remedy: "check the path of the image"),
      Refusal(".", 65, "cannot be read", at: ".", remedy: "name a readable file"),
    ] {
      refusal.expect(try look(scratch, at: refusal.name))
    }
    let whole = try look(scratch, at: "\(photographs)/chelsea-420.jpg")
    #expect(whole.status == 0 && whole.made == ["out.safetensors"], "\(whole.errors)")
  }

  // MARK: inputs

  @Test func `inputs of another shape, type or vocabulary are refused by the tensor's name`() throws {
    let good = try TensorFile(Self.inputs)
    func ids(_ values: [Int], _ shape: [Int]? = nil) -> TensorFile.Entry {
      .init(type: "I64", shape: shape ?? [values.count], bytes: values.withUnsafeBytes { Data($0) })
    }
    func pixels(_ shape: [Int]) -> TensorFile.Entry {
      .init(type: "F32", shape: shape, bytes: Data(count: shape.reduce(4, *)))
    }
    let image = Array(repeating: 4, count: 25)
    let cases: [(name: String, tensor: String, entry: TensorFile.Entry?, what: String)] = [
      ("channels last", "pixel_values", pixels([30, 30, 3]), "shape [30, 30, 3], but this model takes [3, 30, 30]"),
      ("small", "pixel_values", pixels([3, 28, 28]), "shape [3, 28, 28], but this model takes"),
      ("two images", "pixel_values", pixels([2, 3, 30, 30]), "shape [2, 3, 30, 30], but"),
      ("flat", "pixel_values", pixels([2700]), "shape [2700], but"),
      ("whole numbers", "pixel_values", ids([1]), "unsupported: dtype I64"),
      ("no pixels", "pixel_values", nil, "the tensor is not in the file"),
      ("no ids", "input_ids", nil, "the tensor is not in the file"),
      ("fractions", "input_ids", pixels([37]), "unsupported: dtype F32"),
      ("two prompts", "input_ids", ids([5] + image + [5] + image, [2, 26]), "shape [2, 26], but one prompt"),
      ("nothing", "input_ids", ids([]), "shape [0], but one prompt"),
      ("unknown word", "input_ids", ids(image + [167]), "id 167 is outside the vocabulary of 167"),
      ("negative", "input_ids", ids(image + [-1]), "id -1 is outside"),
      ("no image", "input_ids", ids([5, 6, 7]), "0 images"),
      ("half an image", "input_ids", ids([5] + image.dropLast()), "24 image tokens, but an image has 25"),
      ("second image", "input_ids", ids(image + [5] + image), "2 images"),
    ]
    for (name, tensor, entry, what) in cases {
      let scratch = try Scratch()
      var file = TensorFile()
      for key in ["input_ids", "pixel_values"] { file.entries[key] = good.entries[key] }
      file.entries[tensor] = entry
      try file.write(to: scratch.file("in.safetensors"))
      Refusal(name, 65, what, at: "in.safetensors", remedy: " ").expect(try capture(scratch, inputs: "in.safetensors"))
    }
    Refusal("none", 66, "no such file", at: "none.safetensors", remedy: "check the path")
      .expect(try capture(Scratch(), inputs: "none.safetensors"))
    Refusal("JSON", 65, "the header claims", at: "config.json", remedy: "not safetensors")
      .expect(try capture(Scratch(), inputs: "\(mha)/config.json"))
  }

  @Test func `inputs with a leading axis of one are one example`() throws {
    let scratch = try Scratch()
    var file = TensorFile()
    for (key, entry) in try TensorFile(Self.inputs).entries where ["input_ids", "pixel_values"].contains(key) {
      file.entries[key] = .init(type: entry.type, shape: [1] + entry.shape, bytes: entry.bytes)
    }
    try file.write(to: scratch.file("in.safetensors"))
    let outcome = try capture(scratch, inputs: "in.safetensors")
    #expect(outcome.status == 0 && outcome.made == ["out.safetensors"], "\(outcome.errors)")
  }

  // MARK: hook points and rows

  @Test(arguments: [
    Refusal("text.*.resid_pots", 64, "no site 'resid_pots'", remedy: "did you mean 'resid_post'?"),
    Refusal("txt.*.resid_post", 64, "no tower 'txt'", remedy: "did you mean 'text'?"),
    Refusal("text.resid_post", 64, "text has no site 'resid_post' outside its layers", remedy: "final_norm"),
    Refusal("vision.0.rot_q", 64, "vision has no site 'rot_q' in a layer", remedy: "resid_pre, q, k, v"),
    Refusal("text.9.z", 64, "text has layers 0 to 2", remedy: "change the layers"),
    Refusal("text.2-1.z", 64, "text has layers 0 to 2", remedy: "change the layers"),
    Refusal("text.first.z", 64, "'first' is no layer", remedy: "for example all, 0, 4-11"),
    Refusal("text.99999999999999999999.z", 64, "is no layer", remedy: "for example"),
    Refusal("vision.2.resid_post", 64, "vision layer 2 cannot affect the output", remedy: "use layers 0 to 1"),
    Refusal("projector.0.out", 64, "projector has", remedy: " "),
    Refusal("resid_post", 64, "expected tower.layers.site", remedy: "for example text.*.resid_post"),
    Refusal("a.b.c.d", 64, "expected tower.layers.site", remedy: "for example text.*.resid_post"),
  ])
  func `a hook point that does not exist is refused with what was meant`(_ refusal: Refusal) throws {
    var refusal = refusal
    refusal.at = "hook point '\(refusal.name)'"
    refusal.expect(try capture(Scratch(), at: "logits,\(refusal.name)"))
  }

  @Test(arguments: ["", ",", ",,"])
  func `no hook point at all is refused`(points: String) throws {
    Refusal("'\(points)'", 64, "no hook point is named", at: "--at '\(points)'", remedy: "for example")
      .expect(try capture(Scratch(), at: points))
  }

  @Test(arguments: [
    Refusal("imag", 65, "no rows are called 'imag'", remedy: "did you mean 'image'?"),
    Refusal("image - questoin", 65, "no rows are called 'questoin'", remedy: "did you mean 'question'?"),
    Refusal("(image", 65, "expected ')'", remedy: "docs/selectors.md"),
    Refusal("[99]", 65, "beyond the text tower's rows", remedy: "indices run from 0 to"),
    Refusal("image[2:9,0]", 65, "beyond the patch grid's rows: there are 5", remedy: "indices run from 0 to 4"),
    Refusal("cls", 65, "has no CLS row", remedy: "vision_feature_select_strategy"),
    Refusal("+", 65, "a name is missing", remedy: "docs/selectors.md"),
    Refusal("mask:", 65, "no rows are called 'mask:'", remedy: "mask:NAME"),
    Refusal("[99999999999999999999]", 65, "an index is missing", remedy: "docs/selectors.md"),
  ])
  func `rows that do not exist are refused with what was meant`(_ refusal: Refusal) throws {
    var refusal = refusal
    refusal.at = "attention-knockout"
    refusal.expect(
      try capture(Scratch(), ["--plugin", "attention-knockout:tower=text,queries=\(refusal.name)"]))
  }

  // MARK: output

  @Test func `a file that cannot be written is refused before the model is opened`() throws {
    let scratch = try Scratch()
    try scratch.write("x", to: "a-file")
    for (out, what) in [
      ("no/such/folder/out.safetensors", "No such file or directory"), ("a-file/out.safetensors", "Not a directory"),
      (".", "it exists and is not a regular file"), ("/dev/null", "it exists and is not a regular file"),
    ] {
      let outcome = try Command.run(
        ["capture", "--model", "./nowhere", "--inputs", "x", "--at", "logits", "--out", out], in: scratch)
      Refusal(out, 66, "the file cannot be written: \(what)", at: out, remedy: "name a").expect(outcome)
    }
    // A folder that accepts no file although it may be written to by its permissions.
    Refusal("/proc", 66, "the file cannot be written", at: "/proc/self/task/out", remedy: "name a file")
      .expect(try capture(scratch, out: "/proc/self/task/out"))
  }

  @Test func `a file that was there before stays as it was when a capture fails`() throws {
    let scratch = try Scratch()
    try scratch.write("precious", to: "out.safetensors")
    Refusal("failing", 64, "no site", at: "hook point", remedy: "did you mean").expect(
      try capture(scratch, at: "text.0.patern"))
    Refusal("failing plugin", 70, "not finite", at: "scale", remedy: "").expect(
      try capture(scratch, ["--plugin", "scale:factor=1e30"]))
    #expect(try scratch.read("out.safetensors") == "precious")
    let outcome = try capture(scratch)
    #expect(outcome.status == 0 && outcome.made.isEmpty, "\(outcome.errors)")
    #expect(try TensorFile(scratch.file("out.safetensors")).entries.keys.sorted() == ["logits"])
  }

  // MARK: tokenizer

  @Test func `a tokenizer file or a line that is not one is refused`() throws {
    let scratch = try Scratch()
    func tokenize(_ file: String, _ input: String = "") throws -> Outcome {
      try Command.run(["tokenize", "--tokenizer", file, "--jsonl"], in: scratch, input: input)
    }
    Refusal("none", 66, "no such file", at: "none.json", remedy: "tokenizer.json").expect(try tokenize("none.json"))
    Refusal("another", 65, "the key is missing", at: "config.json: model").expect(try tokenize("\(mha)/config.json"))
    Refusal("binary", 65, "not UTF-8", at: "image.png", remedy: "again").expect(try tokenize("\(mha)/image.png"))
    Refusal("line", 65, "the line is not a JSON string", at: "'leg", remedy: "write one string")
      .expect(try tokenize("\(mha)/tokenizer.json", "leg\n"))
  }
}
