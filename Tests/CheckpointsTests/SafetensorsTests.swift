import Checkpoints
import Diagnostics
import Foundation
import Tensors
import Testing

/// A safetensors file is either read exactly or refused by name; no byte of it can bring the host down.
@Suite struct SafetensorsTests {
  /// A folder that goes away with the test.
  private struct Folder: ~Copyable {
    let path = NSTemporaryDirectory() + "/safetensors-\(UUID().uuidString)"
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func open(_ bytes: some Collection<UInt8>) throws -> SafetensorsFile {
      let file = path + "/x.safetensors"
      try Data(bytes).write(to: URL(fileURLWithPath: file))
      return try SafetensorsFile(file)
    }
  }

  /// Length field, header, data.
  private func file(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    let json = Array(header.utf8)
    return withUnsafeBytes(of: (length ?? UInt64(json.count)).littleEndian) { Array($0) } + json + data
  }

  private static let small = """
    {"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},\
    "b":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}
    """
  private static let data: [UInt8] = [0, 0, 128, 63, 0, 0, 0, 192] + [254, 255, 255, 255, 255, 255, 255, 255]

  @Test func `a file is read to the very values, shapes and metadata`() throws {
    let opened = try Folder().open(file(Self.small, data: Self.data))
    #expect(try opened.floats("a").values == [1, -2] && opened.floats("a").shape == [2, 1])
    #expect(try opened.integers("b") == [-2] && opened.metadata == ["format": "pt"])
    let missing = #expect(throws: CheckpointError.self) { _ = try opened.floats("c") }
    #expect(missing?.diagnosis.what == "the tensor is not in the file")
    let type = #expect(throws: CheckpointError.self) { _ = try opened.floats("b") }
    #expect(type?.diagnosis.what == "unsupported: dtype I64")
  }

  @Test func `a file truncated at any byte is refused`() throws {
    let folder = try Folder()
    let whole = file(Self.small, data: Self.data)
    for count in 0..<whole.count {
      let error = #expect(throws: CheckpointError.self, "\(count) of \(whole.count) bytes") {
        _ = try folder.open(whole[..<count])
      }
      #expect(error?.diagnosis.exit == .badData && error?.diagnosis.place.contains("x.safetensors") == true)
    }
    _ = try folder.open(whole)
  }

  @Test(arguments: [
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
      "its bytes overlap those of a"
    ),
    (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, "shape [3] of F32 needs 12 bytes, the entry has 8"),
    (
      #"{"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,16]}}"#,
      "shape [2, 2] of F16 needs 8 bytes, the entry has 16"
    ),
    (#"{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}"#, "bytes 0..<20 lie outside the data of 16 bytes"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "bytes 8..<0 lie outside the data of 16 bytes"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#, "bytes -8..<0 lie outside the data of 16 bytes"),
    (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, "the shape [-2] is impossible"),
    (
      #"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
      "the shape [4611686018427387904, 4] is impossible"
    ),
    (#"{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#, "unsupported: dtype F8_E4M3"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, "the entry needs dtype, shape and two data_offsets"),
    (#"{"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}}"#, "the entry needs dtype, shape and two data_offsets"),
    (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}}"#, "the entry needs dtype, shape and two data_offsets"),
    (#"{"a":[]}"#, "the entry needs dtype, shape and two data_offsets"), ("[]", "the header is not a JSON object"),
    (#"{"a":"#, "the header is not a JSON object"), ("", "the header is not a JSON object"),
  ]) func `a header that contradicts itself or the file is refused by tensor`(header: String, problem: String) throws {
    let folder = try Folder()
    let error = #expect(throws: CheckpointError.self) {
      _ = try folder.open(file(header, data: [UInt8](repeating: 0, count: 16)))
    }
    #expect(error?.diagnosis.what == problem)
  }

  @Test(arguments: [UInt64.max, 1 << 63, 100_000_001, 5_000]) func `a header length beyond the file is refused`(
    length: UInt64
  ) throws {
    let folder = try Folder()
    let error = #expect(throws: CheckpointError.self) {
      _ = try folder.open(file(Self.small, data: Self.data, length: length))
    }
    #expect(error?.diagnosis.what.hasPrefix("the header claims \(length) bytes") == true)
  }

  @Test func `empty tensors may share their offset, and hold nothing`() throws {
    let header =
      #"{"a":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
    let opened = try Folder().open(file(header, data: [0, 0, 0, 64]))
    #expect(try opened.floats("a").values == [] && opened.floats("b").values == [2])
  }

  @Test func `with any byte changed a file opens or is refused, and never more`() throws {
    let folder = try Folder()
    let whole = file(Self.small, data: Self.data)
    var (opened, refused) = (0, 0)
    for place in 0..<(whole.count - Self.data.count) {
      for value in [UInt8(0), 0x22, 0x39, 0x7D, 0xFF] {
        var bytes = whole
        bytes[place] = value
        do {
          let file = try folder.open(bytes)
          for name in file.entries.keys { _ = (try? file.floats(name), try? file.integers(name)) }
          opened += 1
        } catch is CheckpointError { refused += 1 }
      }
    }
    #expect(opened > 20 && refused > 500, "\(opened) opened, \(refused) refused")
  }

  @Test func `what is written is read back, with its metadata`() throws {
    let folder = try Folder()
    let path = folder.path + "/out.safetensors"
    let tensor = Tensor([1, .infinity, -0.0, .leastNonzeroMagnitude, 5, 6], shape: [2, 3])
    try writeSafetensors(
      [(name: "text.0.z", tensor: tensor), (name: "empty", tensor: Tensor(zeros: [0, 4]))], metadata: ["ids": "[1,2]"],
      to: path)
    let file = try SafetensorsFile(path)
    #expect(try file.floats("text.0.z").values.map(\.bitPattern) == tensor.values.map(\.bitPattern))
    #expect(try file.floats("text.0.z").shape == [2, 3] && file.floats("empty").shape == [0, 4])
    #expect(file.metadata == ["ids": "[1,2]"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out.safetensors"])
    let error = #expect(throws: CheckpointError.self) {
      try writeSafetensors([], metadata: [:], to: folder.path + "/no/where")
    }
    #expect(error?.diagnosis.exit == .missingInput)
  }

  @Test func `a missing file and a folder are refused`() throws {
    let folder = try Folder()
    let missing = #expect(throws: CheckpointError.self) { _ = try SafetensorsFile(folder.path + "/none") }
    #expect(missing?.diagnosis.exit == .missingInput)
    let directory = #expect(throws: CheckpointError.self) { _ = try SafetensorsFile(folder.path) }
    #expect(directory?.diagnosis.what == "not a regular file of at least 8 bytes")
  }

  @Test func `the digest of a big file is read through once, and again when the file changes`() throws {
    let folder = try Folder()
    let cache = DigestCache(folder: folder.path + "/cache", smallest: 1)
    let first = try folder.open(file(Self.small, data: Self.data))
    let digest = SHA256.hex(first.contents)
    #expect(cache.digest(of: first) == digest)
    let entries = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/cache")
    #expect(entries.count == 1)
    // What an entry says is believed: nothing is read through a second time.
    let planted = String(repeating: "ab", count: 32)
    try planted.write(toFile: folder.path + "/cache/" + entries[0], atomically: true, encoding: .utf8)
    #expect(cache.digest(of: first) == planted)
    try "torn".write(toFile: folder.path + "/cache/" + entries[0], atomically: true, encoding: .utf8)
    #expect(cache.digest(of: first) == digest)
    let second = try folder.open(file(Self.small, data: Self.data.reversed()))
    #expect(second.identity != first.identity && cache.digest(of: second) == SHA256.hex(second.contents))
    #expect(DigestCache(folder: nil, smallest: 1).digest(of: second) == SHA256.hex(second.contents))
  }
}
