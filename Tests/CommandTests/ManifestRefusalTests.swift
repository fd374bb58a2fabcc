import Foundation
import Testing

/// A manifest, a dataset or a run folder that cannot be used.
struct ManifestRefusalTests {
  /// A manifest of one image and the small random checkpoint; `tail` follows it from line 9 on.
  private func study(_ tail: String = "", _ replacing: (String, String)? = nil) throws -> Scratch {
    let scratch = try Scratch()
    try scratch.copy("\(mha)/image.png", to: "image.png")
    let example = ["file_name": "image.png", "prompt": "<image> what is this ?", "answer": "leg"]
    try scratch.write(JSONSerialization.data(withJSONObject: example), to: "metadata.jsonl")
    var text = """
      ablate: 1
      name: tiny
      models: [\(mha)]
      dataset: { path: . }
      readings: [accuracy]
      generate: { max_new_tokens: 2 }
      conditions:
        clean: []

      """ + tail
    if let (old, new) = replacing { text = text.replacingOccurrences(of: old, with: new) }
    try scratch.write(text, to: "tiny.yaml")
    return scratch
  }

  private func run(_ scratch: Scratch, out: String = "rows") throws -> Outcome {
    try Command.run(["run", "tiny.yaml", "--out", out, "--quiet"], in: scratch)
  }

  @Test func `that is whole runs, so that each refusal below has its own cause`() throws {
    let scratch = try study()
    let outcome = try run(scratch)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.made.contains("rows/run.sqlite"))
    let report = try Command.run(["report", "rows"], in: scratch)
    #expect(report.status == 0 && report.made.contains("rows/report.md"), "\(report.errors)")
  }

  @Test(arguments: [
    (
      Refusal("unknown key", 65, "unknown key 'sed'", at: "tiny.yaml:9:1", remedy: "did you mean 'seed'?"), "sed: 3", ""
    ),
    (
      Refusal("key of a step", 65, "unknown key 'wiht'", at: "tiny.yaml:9:39", remedy: "did you mean 'with'?"),
      "  cut: [{ plugin: attention-knockout, wiht: {} }]", ""
    ),
    (Refusal("open bracket", 65, "not YAML", at: "tiny.yaml:10:1"), "  cut: [{ plugin: identity\n", ""),
    (Refusal("tab", 65, "not YAML", at: "tiny.yaml:9:1"), "\tcut: []", ""),
    (Refusal("twice", 65, "given twice", at: "tiny.yaml:"), "seed: 1\nseed: 2", ""),
    (
      Refusal("version", 65, "manifests of version 1", at: "tiny.yaml:1:9", remedy: "write 'ablate: 1'"), "",
      "ablate: 1>ablate: 9"
    ),
    (Refusal("no models", 65, "lacks the key 'models'", at: "tiny.yaml:1:1"), "", "models: [\(mha)]>seed: 1"),
    (
      Refusal("limit", 65, "'dataset.limit' is not a whole number", at: "tiny.yaml:4:"), "",
      "path: . >path: ., limit: -2 "
    ),
    (Refusal("reading", 65, "", at: "tiny.yaml:5:", remedy: "did you mean 'accuracy'?"), "", "accuracy>acuracy"),
    (
      Refusal("model", 66, "no such file or folder", at: "nowhere", remedy: "the folder needs"), "", "\(mha)>./nowhere"
    ),
    (Refusal("bundled", 66, "no such file", at: "no-such", remedy: "bundled"), "", "\(mha)>no-such"),
    (
      Refusal("dataset", 66, "no metadata.jsonl", at: "nowhere", remedy: "file_name, prompt and answer"), "",
      "path: .>path: nowhere"
    ),
    (
      Refusal("plugin", 66, "no plugin named 'identiti'", remedy: "did you mean 'identity'?"),
      "  same: [{ plugin: identiti }]", ""
    ),
    (
      Refusal("parameter", 65, "no such parameter", at: "attention-knockout, parameter towr", remedy: "'tower'?"),
      "  cut: [{ plugin: attention-knockout, with: { towr: text } }]", ""
    ),
    (
      Refusal("range", 65, "must lie in 0", at: "attention-knockout, parameter heads", remedy: "the heads"),
      "  cut: [{ plugin: attention-knockout, with: { heads: [900] } }]", ""
    ),
    (
      Refusal("rows", 65, "no rows are called 'imag'", at: "attention-knockout", remedy: "did you mean 'image'?"),
      "  cut: [{ plugin: attention-knockout, with: { tower: text, queries: imag } }]", ""
    ),
  ])
  func `is refused with its place, and no run folder is left`(_ refusal: Refusal, tail: String, change: String) throws {
    let pair = change.split(separator: ">").map(String.init)
    refusal.expect(try run(study(tail, pair.count == 2 ? (pair[0], pair[1]) : nil)))
  }

  @Test func `that is not there, empty, binary or a folder is refused by its path`() throws {
    let scratch = try study()
    for refusal in [
      Refusal("none.yaml", 66, "there is no such manifest", at: "none.yaml", remedy: "manifests/quick.yaml"),
      Refusal("empty.yaml", 65, "the manifest is empty", at: "empty.yaml"),
      Refusal("image.png", 65, "not UTF-8 text", at: "image.png"), Refusal(".", 66, "cannot be read", at: "."),
    ] {
      if refusal.name == "empty.yaml" { try scratch.write("", to: "empty.yaml") }
      refusal.expect(try Command.run(["plan", refusal.name], in: scratch))
      refusal.expect(try Command.run(["run", refusal.name, "--out", "rows"], in: scratch))
    }
  }

  @Test(arguments: [
    ("{\"file_name\": \"none.png\", \"prompt\": \"<image>\", \"answer\": \"a\"}", Int32(66), "none.png"),
    ("{\"file_name\": \"second.png\", \"answer\": \"a\"}", 65, "metadata.jsonl:2"),
    ("{\"file_name\": \"second.png\"", 65, "metadata.jsonl:2"),
    ("{\"file_name\": \"second.png\", \"prompt\": \"no picture\", \"answer\": \"a\"}", 65, "metadata.jsonl:2"),
    ("{\"file_name\": \"cut.png\", \"prompt\": \"<image>\", \"answer\": \"a\"}", 65, "cut.png"),
  ])
  func `with a bad line in its dataset is refused by the line or the file`(
    line: String, status: Int32, place: String
  ) throws {
    let scratch = try study()
    try scratch.write(scratch.bytes("image.png").prefix(900), to: "cut.png")
    try scratch.copy("\(mha)/image.png", to: "second.png")
    try scratch.write(scratch.read("metadata.jsonl") + "\n" + line + "\n", to: "metadata.jsonl")
    let outcome = try run(scratch)
    #expect(outcome.status == status && outcome.errors.hasPrefix("error: "), "\(outcome.errors)")
    #expect(outcome.errors.contains(place), "\(outcome.errors)")
  }

  @Test func `whose run folder cannot be made is refused by the folder`() throws {
    let scratch = try study()
    for folder in ["/proc/rows", "tiny.yaml", "tiny.yaml/rows"] {
      Refusal(folder, 66, "the run folder cannot be made", at: folder).expect(try run(scratch, out: folder))
    }
    #expect(try scratch.read("tiny.yaml").hasPrefix("ablate: 1"))
  }

  @Test func `whose run folder belongs to a living process is told to wait, with the exit code of what resumes`() throws
  {
    let scratch = try study()
    #expect(try run(scratch).status == 0)
    let lock = open(scratch.file("rows/run.lock"), O_RDWR | O_CLOEXEC)
    defer { close(lock) }
    try #require(lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
    Refusal("in use", 75, "the run folder is in use", at: "rows", remedy: "--out").expect(try run(scratch))
  }

  @Test func `whose run store is damaged is refused and the store is left as it was`() throws {
    let scratch = try study()
    try scratch.write(String(repeating: "no database ", count: 100), to: "rows/run.sqlite")
    for command in [["run", "tiny.yaml", "--out", "rows"], ["report", "rows"]] {
      let outcome = try Command.run(command, in: scratch)
      #expect(outcome.status == 65, "\(outcome.errors)")
      #expect(outcome.errors.contains("at: rows/run.sqlite"), "\(outcome.errors)")
      #expect(try scratch.read("rows/run.sqlite").hasPrefix("no database"))
      #expect(!outcome.made.contains("rows/report.md"))
    }
    Refusal("no run", 66, "there is no run in this folder", at: "nowhere", remedy: "ablate run MANIFEST")
      .expect(try Command.run(["report", "nowhere"], in: scratch))
  }
}
