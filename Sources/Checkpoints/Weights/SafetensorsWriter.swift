import Foundation
import Tensors

/// Writes f32 tensors with string metadata as one safetensors file: to a temporary name, then renamed, so that no half-written
/// file is ever seen.
package func writeSafetensors(
  _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String], to path: String
) throws(CheckpointError) {
  var header: [String: Any] = ["__metadata__": metadata]
  var offset = 0
  for (name, tensor) in tensors {
    let end = offset + tensor.count * 4
    header[name] = ["dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end]] as [String: Any]
    offset = end
  }
  let temporary = path + ".partial-\(getpid())"
  do {
    var json = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys, .withoutEscapingSlashes])
    while json.count % 8 != 0 { json.append(0x20) }
    guard FileManager.default.createFile(atPath: temporary, contents: nil),
      let file = FileHandle(forWritingAtPath: temporary)
    else {
      throw CheckpointError.missing(path: path, remedy: "the file cannot be created: check that its folder exists")
    }
    try file.write(contentsOf: withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) })
    try file.write(contentsOf: json)
    for (_, tensor) in tensors {
      try file.write(contentsOf: UnsafeRawBufferPointer(start: tensor.base, count: tensor.count * 4))
    }
    try file.synchronize()
    try file.close()
    guard rename(temporary, path) == 0 else { throw CocoaError(.fileWriteUnknown) }
  } catch {
    unlink(temporary)
    if let error = error as? CheckpointError { throw error }
    throw .malformed(path: path, problem: "the file could not be written: \(error.localizedDescription)")
  }
}
