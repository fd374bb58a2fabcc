import Diagnostics
import Experiments
import Foundation

/// Rows as tensors: `value` (F64), `token` (I64, -1: none), and of each text column its codes (I32, -1: none), whose words are a JSON list
/// under the column's name in the metadata.
enum SafetensorsRows {
  static func bytes(_ rows: RowColumns) -> Data {
    let size = rows.count
    var header: [(String, JSON)] = [
      ("__metadata__", .object(rows.texts.map { ($0.name, .string(JSON.strings($0.words).compact)) }))
    ]
    var offset = 0
    func add(_ name: String, _ type: String, width: Int) {
      let end = offset + size * width
      header.append(
        (
          name,
          .object([
            ("dtype", .string(type)), ("shape", .array([.int(size)])),
            ("data_offsets", .array([.int(offset), .int(end)])),
          ])
        ))
      offset = end
    }
    add("value", "F64", width: 8)
    add("token", "I64", width: 8)
    for column in rows.texts { add(column.name, "I32", width: 4) }
    var json = Data(JSON.object(header).compact.utf8)
    while json.count % 8 != 0 { json.append(0x20) }
    var bytes = Data()
    bytes.append(littleEndian: UInt64(json.count))
    bytes += json
    for value in rows.values { bytes.append(littleEndian: (value ?? .nan).bitPattern) }
    for token in rows.tokens { bytes.append(littleEndian: Int64(token ?? -1)) }
    for column in rows.texts {
      for code in column.codes { bytes.append(littleEndian: Int32(truncatingIfNeeded: code)) }
    }
    return bytes
  }
}
