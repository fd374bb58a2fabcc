import Experiments
import Foundation

/// The format of numpy's `.npy`, version 1.0 (numpy/lib/format.py): magic, a Python literal padded to 64 bytes, records.
enum NumpyRows {
  static func header(widths: [Int], count: Int) -> Data {
    let texts = zip(StoredRow.textColumns, widths).map { "('\($0)', '<U\($1)')" }
    let fields = (texts + ["('token', '<i8')", "('value', '<f8')"]).joined(separator: ", ")
    var header = "{'descr': [\(fields)], 'fortran_order': False, 'shape': (\(count),), }"
    header += String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
    let length = UInt16(header.utf8.count)
    return Data([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 255), UInt8(length >> 8)]) + Data(header.utf8)
  }

  static func bytes(_ row: StoredRow, widths: [Int]) -> Data {
    var bytes = Data()
    for (text, width) in zip(row.texts, widths) {
      let known = (text ?? "").unicodeScalars.map(\.value)
      let scalars = known + [UInt32](repeating: 0, count: width - known.count)
      for scalar in scalars { withUnsafeBytes(of: scalar.littleEndian) { bytes.append(contentsOf: $0) } }
    }
    withUnsafeBytes(of: Int64(row.token ?? -1).littleEndian) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: (row.value ?? .nan).bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    return bytes
  }
}
