import Diagnostics
import Foundation
import Tensors

/// The element types that checkpoints come in; all widen to f32 exactly.
package enum ElementType: String, Sendable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"

  package var bytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .i64: 8
    }
  }

  /// As a parameter's type; nil for integers.
  package var format: StoredWeight.Format? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .i64: nil
    }
  }
}

/// One safetensors file, memory-mapped, its header validated: length, offsets, overlap, shape x type.
///
/// Format: 8 bytes of little-endian header length, a JSON header, the data (github.com/huggingface/safetensors).
package final class SafetensorsFile: @unchecked Sendable {
  package struct Entry: Sendable {
    package let type: ElementType
    package let shape: [Int]
    /// Bytes from the start of the data section.
    package let range: Range<Int>
  }

  package let path: String
  package let entries: [String: Entry]
  package let metadata: [String: String]
  private let mapping: UnsafeRawPointer
  private let size: Int
  private let dataStart: Int
  /// What the file was when it was mapped; another file, or the same after a change, has another one.
  package let identity: String

  package init(_ path: String) throws(CheckpointError) {
    self.path = path
    (mapping, size, identity) = try SafetensorsFile.map(path)
    do {
      let header = try SafetensorsFile.header(of: UnsafeRawBufferPointer(start: mapping, count: size), path: path)
      dataStart = header.dataStart
      metadata = header.metadata
      entries = header.entries
    } catch {
      munmap(UnsafeMutableRawPointer(mutating: mapping), size)
      throw error
    }
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: mapping), size) }

  /// The bytes of one tensor, valid as long as this file object.
  package func bytes(_ entry: Entry) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: mapping + dataStart + entry.range.lowerBound, count: entry.range.count)
  }

  /// All bytes of the file, for a digest.
  package var contents: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: mapping, count: size) }

  /// Drops the pages from this process; they are read again when they are touched.
  package func release() { madvise(UnsafeMutableRawPointer(mutating: mapping), size, MADV_DONTNEED) }

  private func entry(_ name: String) throws(CheckpointError) -> Entry {
    guard let entry = entries[name] else {
      throw .malformed(
        path: path, at: name, problem: "the tensor is not in the file",
        remedy: entries.count <= 8 || nearest(to: name, in: entries.keys) != nil
          ? suggestion(for: name, in: entries.keys) : "it holds \(entries.count) others; is it the file that was meant?"
      )
    }
    return entry
  }

  /// An F32 tensor by name.
  package func floats(_ name: String) throws(CheckpointError) -> Tensor {
    let entry = try entry(name)
    guard entry.type == .f32 else {
      throw .unsupported(path: path, key: name, problem: "dtype \(entry.type.rawValue)", remedy: "F32 is expected here")
    }
    let tensor = Tensor(zeros: entry.shape)
    if let source = bytes(entry).baseAddress { memcpy(tensor.base, source, tensor.count * 4) }
    return tensor
  }

  /// The values of an I64 tensor by name, flattened.
  package func integers(_ name: String) throws(CheckpointError) -> [Int] {
    let entry = try entry(name)
    guard entry.type == .i64 else {
      throw .unsupported(path: path, key: name, problem: "dtype \(entry.type.rawValue)", remedy: "I64 is expected here")
    }
    let bytes = bytes(entry)
    return stride(from: 0, to: bytes.count, by: 8).map { Int(bytes.loadUnaligned(fromByteOffset: $0, as: Int64.self)) }
  }

  private static func map(_ path: String) throws(CheckpointError) -> (UnsafeRawPointer, Int, String) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw .missing(path: path, remedy: "check the path, or fetch the file again") }
    defer { close(file) }
    var info = stat()
    guard fstat(file, &info) == 0, info.st_mode & S_IFMT == S_IFREG, info.st_size >= 8 else {
      throw .malformed(path: path, problem: "not a regular file of at least 8 bytes", remedy: "download it again")
    }
    let size = Int(info.st_size)
    guard let mapping = mmap(nil, size, PROT_READ, MAP_PRIVATE, file, 0), mapping != MAP_FAILED else {
      throw .malformed(
        path: path, problem: "the file cannot be memory-mapped: \(String(cString: strerror(errno)))",
        remedy: "copy it to a local disk")
    }
    let (written, changed) = (info.st_mtim, info.st_ctim)
    let identity =
      "\(info.st_dev) \(info.st_ino) \(size) \(written.tv_sec).\(written.tv_nsec) \(changed.tv_sec).\(changed.tv_nsec)"
    return (UnsafeRawPointer(mapping), size, identity)
  }
}

// MARK: header

extension SafetensorsFile {
  struct Header {
    var entries: [String: Entry] = [:]
    var metadata: [String: String] = [:]
    var dataStart = 0
  }

  /// Parses and checks the header of a whole file's bytes. Pure, so that it can be fuzzed.
  static func header(of file: UnsafeRawBufferPointer, path: String) throws(CheckpointError) -> Header {
    guard file.count >= 8 else { throw .malformed(path: path, problem: "shorter than its 8-byte length field") }
    let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
    guard length <= 100_000_000, length <= UInt64(file.count - 8) else {
      throw .malformed(
        path: path, at: "byte 0", problem: "the header claims \(length) bytes, the file has \(file.count)",
        remedy: "the file is truncated or not safetensors: download it again")
    }
    var header = Header()
    header.dataStart = 8 + Int(length)
    let json = Data(file[8..<header.dataStart])
    guard let object = try? JSONSerialization.jsonObject(with: json) as? [String: Any] else {
      throw .malformed(
        path: path, at: "byte 8", problem: "the header is not a JSON object",
        remedy: "the file is damaged or not safetensors: download it again")
    }
    for (name, value) in object.sorted(by: { $0.key < $1.key }) {
      if name == "__metadata__" {
        header.metadata = value as? [String: String] ?? [:]
      } else {
        header.entries[name] = try entry(name, value, dataSize: file.count - header.dataStart, path: path)
      }
    }
    try checkOverlap(header.entries, path: path)
    return header
  }

  private static func entry(_ name: String, _ value: Any, dataSize: Int, path: String) throws(CheckpointError) -> Entry
  {
    func malformed(_ problem: String) -> CheckpointError {
      .malformed(path: path, at: name, problem: problem, remedy: "the file is damaged: download it again")
    }
    guard let fields = value as? [String: Any], let typeName = fields["dtype"] as? String,
      let shape = fields["shape"] as? [Int], let offsets = fields["data_offsets"] as? [Int], offsets.count == 2
    else { throw malformed("the entry needs dtype, shape and two data_offsets") }
    guard let type = ElementType(rawValue: typeName) else {
      throw .unsupported(
        path: path, key: name, problem: "dtype \(typeName)", remedy: "supported: F32, F16, BF16, and I64 for ids")
    }
    var bytes = type.bytes
    for size in shape {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
      guard size >= 0, !overflow else { throw malformed("the shape \(shape) is impossible") }
      bytes = product
    }
    guard offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= dataSize else {
      throw .malformed(
        path: path, at: name, problem: "bytes \(offsets[0])..<\(offsets[1]) lie outside the data of \(dataSize) bytes",
        remedy: "the file is truncated: download it again")
    }
    guard offsets[1] - offsets[0] == bytes else {
      throw malformed("shape \(shape) of \(typeName) needs \(bytes) bytes, the entry has \(offsets[1] - offsets[0])")
    }
    return Entry(type: type, shape: shape, range: offsets[0]..<offsets[1])
  }

  private static func checkOverlap(_ entries: [String: Entry], path: String) throws(CheckpointError) {
    let sorted = entries.filter { !$0.value.range.isEmpty }.sorted {
      ($0.value.range.lowerBound, $0.key) < ($1.value.range.lowerBound, $1.key)
    }
    for (a, b) in zip(sorted, sorted.dropFirst()) where a.value.range.upperBound > b.value.range.lowerBound {
      throw .malformed(
        path: path, at: b.key, problem: "its bytes overlap those of \(a.key)",
        remedy: "the file is damaged: download it again")
    }
  }
}
