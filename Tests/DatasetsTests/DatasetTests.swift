import Datasets
import Diagnostics
import Foundation
import TestSupport
import Testing

@Suite struct DatasetTests {
  private let good = #"{"file_name": "a.png", "prompt": "<image> what?", "answer": "cat"}"#

  private func load(_ lines: String, limit: Int? = nil, offset: Int = 0) throws -> Dataset {
    let folder = try TemporaryFolder()
    try folder.write(lines, to: "metadata.jsonl")
    try folder.write("A", to: "a.png")
    try folder.write("B", to: "b.png")
    return try Dataset(DatasetReference(path: folder.path, limit: limit, offset: offset))
  }

  private func refusal(_ lines: String, offset: Int = 0) -> String {
    do {
      _ = try load(lines, offset: offset)
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
