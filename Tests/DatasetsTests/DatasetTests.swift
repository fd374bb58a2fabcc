import Datasets
import Diagnostics
import Foundation
import TestSupport
import Testing

@Suite struct DatasetTests {
  private let good = #"{"file_name": "a.png", "prompt": "<image> what?", "answer": "cat"}"#

  private func load(
    _ lines: String, limit: Int? = nil, offset: Int = 0, cluster: String? = nil
  ) throws -> Dataset {
    let folder = try TemporaryFolder()
    try folder.write(lines, to: "metadata.jsonl")
    try folder.write("A", to: "a.png")
    try folder.write("B", to: "b.png")
    return try Dataset(DatasetReference(path: folder.path, limit: limit, offset: offset, cluster: cluster))
  }

  private func refusal(_ lines: String, offset: Int = 0, cluster: String? = nil) -> String {
    do {
      _ = try load(lines, offset: offset, cluster: cluster)
      return "accepted"
    } catch { return "\(error)".components(separatedBy: "metadata.jsonl").dropFirst().joined() }
  }

  @Test func `a line gives an example with its parts and what has no meaning here`() throws {
    let line = """
      {"file_name": "a.png", "id": "one", "prompt": "<image> what?", "answer": "cat", "class": "animal", \
      "flag": true, "n": 1, "x": 1.5, "box": {"b": [1, null], "a": "z"}, \
      "parts": [{"label": "leg", "mask": "b.png", "value": 1}, {"label": "leg", "mask": "b.png", "value": 2}, \
      {"label": "tail", "mask": "b.png"}]}
      """
    let example = try #require(try load(line + "\n").examples.first)
    #expect(example.id == "one" && example.className == "animal" && example.place.hasSuffix("metadata.jsonl:1"))
    #expect(example.parts.map(\.name) == ["leg", "leg#2", "tail"])
    #expect(example.parts.map(\.label) == ["leg", "leg", "tail"])
    #expect(example.parts.map(\.value) == [1, 2, nil])
    #expect(
      JSON.object(example.meta).compact == #"{"box":{"a":"z","b":[1,null]},"flag":true,"n":1,"x":1.5}"#)
  }

  /// Lines of `good`: its picture, what is added.
  private func lines(_ rows: [(picture: String, fields: String)]) -> String {
    rows.enumerated().map { index, row in
      good.replacing("{", with: #"{"id": "\#(index)", \#(row.fields)"#).replacing("a.png", with: row.picture)
    }.joined(separator: "\n")
  }

  @Test func `what is independent is the picture, by its content, or the cluster that the dataset names`() throws {
    let plain = try load(lines([("a.png", ""), ("b.png", ""), ("a.png", "")]))
    #expect(plain.unit == .image && plain.unit.counted(2) == "2 images")
    #expect(plain.examples[0].unit == plain.examples[2].unit && plain.examples[0].unit != plain.examples[1].unit)

    let named = try load(
      lines([("a.png", #""cluster": "k", "#), ("b.png", #""cluster": 7, "#), ("a.png", #""cluster": "k", "#)]))
    #expect(named.examples.map(\.unit) == ["k", "7", "k"] && named.unit.counted(1) == "1 cluster")
    // Nothing that the model is told has changed, but the dataset has.
    #expect(named.examples.map(\.digest) == plain.examples.map(\.digest) && named.digest != plain.digest)

    let scenes = try load(lines([("a.png", #""scene": "s", "#), ("b.png", #""scene": "s", "#)]), cluster: "scene")
    #expect(scenes.examples.map(\.unit) == ["s", "s"] && scenes.unit.counted(12) == "12 clusters (scene)")
  }

  @Test func `clusters are named for all examples or for none, and hold whole pictures`() {
    let one = #""cluster": "k", "#
    #expect(
      refusal(lines([("a.png", one), ("b.png", "")])).hasPrefix(":2: the example '1' has no 'cluster', and '0' has"))
    #expect(
      refusal(lines([("a.png", one)]), cluster: "scene").hasPrefix(":1: the example '0' has no 'scene' (name the"))
    let torn = refusal(lines([("a.png", one), ("a.png", #""cluster": "m", "#)]))
    #expect(torn.hasPrefix(":2: its picture is in two clusters: 'm', and as '0' in 'k' ("), "\(torn)")
    #expect(refusal(lines([("a.png", #""cluster": [1], "#)])).hasPrefix(":1: 'cluster' is not text"))
  }

  @Test func `the slice is taken in the order of the file and blank lines do not count`() throws {
    let lines = (0..<5).map { good.replacingOccurrences(of: "{", with: #"{"id": "\#($0)", "#) }
    let dataset = try load(lines.joined(separator: "\n\n"), limit: 2, offset: 1)
    #expect(dataset.examples.map(\.id) == ["1", "2"] && dataset.available == 5)
    #expect(dataset.examples[0].place.hasSuffix("metadata.jsonl:3"))
  }

  @Test func `every refusal says file and line`() {
    let cases: [(String, String)] = [
      (good + "\n{", ":2: the line is not a JSON object (each line is one, without line breaks)"),
      ("[1]", ":1: the line is not a JSON object (each line is one, without line breaks)"),
      (good + "\n" + good, ":2: the id 'a.png' was given before (first at "),
      (#"{"file_name": "a.png", "prompt": "<image>"}"#, ":1: the key 'answer' is missing"),
      (good.replacingOccurrences(of: "cat\"", with: "cat\", \"id\": 3"), ":1: 'id' is not text"),
      (
        good.replacingOccurrences(of: "<image> ", with: ""),
        ":1: the prompt does not hold <image> exactly once (write <image> where the image goes)"
      ),
      (good.replacingOccurrences(of: "a.png", with: "c.png"), ":1: there is no file "),
      (
        good.replacingOccurrences(of: "cat\"", with: "cat\", \"parts\": [{\"label\": \"leg\", \"msk\": \"b.png\"}]"),
        ":1: unknown key 'msk' in parts[0] (did you mean 'mask'?)"
      ),
      (
        good.replacingOccurrences(
          of: "cat\"", with: "cat\", \"parts\": [{\"label\": \"leg\", \"mask\": \"b.png\", \"value\": 0}]"),
        ":1: parts[0]: 'value' is not a whole number (1...255)"
      ),
    ]
    for (lines, expected) in cases {
      let words = refusal(lines)
      #expect(words.hasPrefix(expected), "\(words)")
    }
    #expect(refusal(good, offset: 1).contains("no line is left after the first 1"))
  }

  @Test func `a folder without metadata is a missing input`() {
    #expect { try Dataset(DatasetReference(path: "/nowhere", limit: nil, offset: 0)) } throws: { error in
      (error as? DatasetError)?.diagnosis.exit == .missingInput
    }
  }

  @Test func `the digest follows every byte that a model or probe is told, and nothing else`() throws {
    func digest(image: String = "A", mask: String = "M", line: String) throws -> String {
      let folder = try TemporaryFolder()
      try folder.write(line, to: "metadata.jsonl")
      try folder.write(image, to: "a.png")
      try folder.write(mask, to: "m.png")
      let dataset = try Dataset(DatasetReference(path: folder.path, limit: nil, offset: 0))
      return dataset.examples[0].digest
    }
    let line = good.replacingOccurrences(
      of: "cat\"", with: "cat\", \"parts\": [{\"label\": \"leg\", \"mask\": \"m.png\", \"value\": 1}]")
    let base = try digest(line: line)
    #expect(
      try digest(line: line.replacingOccurrences(of: "{\"file", with: "{\"id\": \"z\", \"k\": 1, \"file")) == base)
    let others = [
      try digest(image: "B", line: line), try digest(mask: "N", line: line),
      try digest(line: line.replacingOccurrences(of: "cat", with: "dog")),
      try digest(line: line.replacingOccurrences(of: "leg", with: "arm")),
      try digest(line: line.replacingOccurrences(of: "\"value\": 1", with: "\"value\": 2")),
      try digest(line: line.replacingOccurrences(of: "what", with: "who")),
    ]
    #expect(Set(others + [base]).count == 7)
  }
}
