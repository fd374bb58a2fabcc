import Foundation

/// The ustar format (POSIX.1-1988) as far as a pack needs it: regular files with plain names, the same bytes for the same files. What
/// else an archive may hold (links, devices, paths that lead elsewhere) is refused, not skipped.
enum Tar {
  typealias File = (name: String, bytes: Data)

  /// Why an archive was refused.
  struct Fault: Error {
    var text: String
  }

  private static let block = 512
  static let sizeCap = 1 << 30

  static func write(_ files: [File]) -> Data {
    var archive = Data()
    for file in files {
      archive.append(header(file.name, size: file.bytes.count))
      archive.append(file.bytes)
      archive.append(Data(count: (block - file.bytes.count % block) % block))
    }
    return archive + Data(count: 2 * block)
  }

  private static func header(_ name: String, size: Int) -> Data {
    var header = Data(count: block)
    func put(_ text: String, at offset: Int) {
      header.replaceSubrange(offset..<offset + text.utf8.count, with: Data(text.utf8))
    }
    put(name, at: 0)
    put("0000644\0", at: 100)
    put("0000000\0", at: 108)
    put("0000000\0", at: 116)
    put(octal(size, digits: 11) + "\0", at: 124)
    put("00000000000\0", at: 136)
    put("        ", at: 148)
    put("0", at: 156)
    put("ustar\u{0}00", at: 257)
    put(octal(header.reduce(0) { $0 + Int($1) }, digits: 6) + "\0 ", at: 148)
    return header
  }

  private static func octal(_ value: Int, digits: Int) -> String {
    let text = String(value, radix: 8)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  static func read(_ archive: Data) throws(Fault) -> [File] {
    let bytes = [UInt8](archive)
    var files: [File] = []
    var at = 0
    while at + block <= bytes.count, bytes[at..<at + block].contains(where: { $0 != 0 }) {
      let header = Array(bytes[at..<at + block])
      let (name, size) = try readHeader(header)
      guard at + block + size <= bytes.count else { throw Fault(text: "it ends within '\(name)'") }
      guard !files.contains(where: { $0.name == name }) else { throw Fault(text: "it holds '\(name)' twice") }
      files.append((name, Data(bytes[at + block..<at + block + size])))
      at += block + (size + block - 1) / block * block
    }
    guard !files.isEmpty else { throw Fault(text: "it is no tar archive, or an empty one") }
    return files
  }

  private static func readHeader(_ header: [UInt8]) throws(Fault) -> (name: String, size: Int) {
    let name = String(decoding: header[0..<100].prefix { $0 != 0 }, as: UTF8.self)
    let sum = header.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
    guard number(header[148..<156]) == sum else { throw Fault(text: "a header's checksum is wrong") }
    guard header[156] == 0 || header[156] == UInt8(ascii: "0") else {
      throw Fault(text: "'\(name)' is no regular file")
    }
    guard isPlain(name) else { throw Fault(text: "'\(name)' is no plain name") }
    guard let size = number(header[124..<136]), (0...sizeCap).contains(size) else { throw Fault(text: "'\(name)' has no size") }
    return (name, size)
  }

  private static func number(_ field: ArraySlice<UInt8>) -> Int? {
    Int(String(decoding: field.prefix { $0 != 0 && $0 != 32 }, as: UTF8.self), radix: 8)
  }

  /// `file` or `folder/file`, of letters that every file system takes.
  static func isPlain(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count)
      && parts.allSatisfy { part in
        !part.isEmpty && !part.hasPrefix(".") && name.utf8.count < 100
          && part.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
              || [43, 45, 46, 95].contains(byte)
          }
      }
  }
}
