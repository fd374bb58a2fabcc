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
  try checkWritable(path)
  let temporary = path + ".partial-\(getpid())"
  do {
    var json = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys, .withoutEscapingSlashes])
    while json.count % 8 != 0 { json.append(0x20) }
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw unwritable(path, errno) }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    try file.write(contentsOf: withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) })
    try file.write(contentsOf: json)
    for (_, tensor) in tensors {
      try file.write(contentsOf: UnsafeRawBufferPointer(start: tensor.base, count: tensor.count * 4))
    }
    try file.synchronize()
    try file.close()
    guard rename(temporary, path) == 0 else { throw unwritable(path, errno) }
  } catch {
    unlink(temporary)
    if let error = error as? CheckpointError { throw error }
    throw .unwritable(path: path, problem: error.localizedDescription, remedy: "make room, or name another file")
  }
}

/// Throws if `path` cannot become a file: so that a long computation is refused before it starts. A device or a folder of that name is
/// never replaced.
package func checkWritable(_ path: String) throws(CheckpointError) {
  var info = stat()
  if stat(path, &info) == 0 {
    guard info.st_mode & S_IFMT == S_IFREG else {
      throw .unwritable(path: path, problem: "it exists and is not a regular file", remedy: "name another file")
    }
  }
  let folder = (path as NSString).deletingLastPathComponent
  guard access(folder.isEmpty ? "." : folder + "/.", W_OK | X_OK) == 0 else { throw unwritable(path, errno) }
}

private func unwritable(_ path: String, _ code: Int32) -> CheckpointError {
  .unwritable(
    path: path, problem: String(cString: strerror(code)), remedy: "make its folder, or name a file in one that is yours"
  )
}
