import Glibc
import PluginABI

/// The ABI that this host was built with.
package enum ABI {
  package static let major = Int(ABLATE_ABI_MAJOR)
  package static let minor = Int(ABLATE_ABI_MINOR)
  static let entryPrefix = "ablate_plugin_entry_v"
  package static let entry = "\(entryPrefix)\(major)"

  /// Structs of the header, whose first field is `struct_size`.
  static func size<T>(of type: T.Type) -> UInt32 { UInt32(MemoryLayout<T>.size) }

  /// Bytes that structs have grown by since 1.0. An older plugin's struct is as good as one with zeros behind it: whoever appends a field
  /// adds its bytes here, or the plugins that are kept from 1.0 no longer load (a test says so).
  private static let grown: [ObjectIdentifier: UInt32] = [:]

  private static func frozenSize<T>(of type: T.Type) -> UInt32 {
    size(of: type) - (grown[ObjectIdentifier(type)] ?? 0)
  }

  /// A struct that a plugin wrote must know all fields of 1.0, keep to steps of 8 bytes, and be no nonsense.
  static func accepts<T>(_ structSize: UInt32, as type: T.Type) -> Bool {
    structSize >= frozenSize(of: type) && structSize % 8 == 0 && structSize <= 4096
  }

  /// What is wrong with a `struct_size`, in words.
  static func sizeProblem<T>(_ structSize: UInt32, as type: T.Type) -> String {
    "struct_size is \(structSize); this host expects \(frozenSize(of: type)), or more in steps of 8"
  }
}

/// Reads what a plugin points at: bounded, copied, checked to be UTF-8.
struct ForeignReader {
  /// What is read, for messages: "params[2]".
  var at: String

  struct Fault: Error {
    var field: String
    var problem: String
  }

  static let stringCap = 4096
  static let countCap: UInt64 = 1 << 16

  func fault(_ field: String, _ problem: String) -> Fault {
    Fault(field: at.isEmpty ? field : field.isEmpty ? at : "\(at).\(field)", problem: problem)
  }

  func string(_ pointer: UnsafePointer<CChar>?, _ field: String) throws(Fault) -> String {
    guard let text = try optionalString(pointer, field) else { throw fault(field, "is NULL") }
    guard !text.isEmpty else { throw fault(field, "is empty") }
    return text
  }

  func optionalString(_ pointer: UnsafePointer<CChar>?, _ field: String) throws(Fault) -> String? {
    guard let pointer else { return nil }
    let length = strnlen(pointer, Self.stringCap)
    guard length < Self.stringCap else { throw fault(field, "has no NUL within \(Self.stringCap) bytes") }
    let bytes = UnsafeRawBufferPointer(start: pointer, count: length)
    guard let text = String(validating: bytes, as: UTF8.self) else { throw fault(field, "is not UTF-8") }
    return text
  }

  /// Elements of an array of structs, copied by the writer's `struct_size`: what a newer writer has more is not read, what an older one
  /// lacks is zero. `T` is a struct of the header, for which all zeros are a value.
  func structs<T>(_ start: UnsafePointer<T>?, _ count: UInt64, _ field: String) throws(Fault) -> [T] {
    guard count > 0 else { return [] }
    guard let start else { throw fault(field, "is NULL, but its count is \(count)") }
    guard count <= Self.countCap else { throw fault(field, "its count is \(count); at most \(Self.countCap) are read") }
    let raw = UnsafeRawPointer(start)
    let stride = raw.load(as: UInt32.self)
    var elements: [T] = []
    for i in 0..<Int(count) {
      let element = raw + i * Int(stride)
      let size = element.load(as: UInt32.self)
      guard ABI.accepts(size, as: T.self) else { throw fault("\(field)[\(i)]", ABI.sizeProblem(size, as: T.self)) }
      guard size == stride else { throw fault("\(field)[\(i)]", "struct_size is \(size), that of the first \(stride)") }
      elements.append(zeroExtended(element, Int(size)))
    }
    return elements
  }

  private func zeroExtended<T>(_ source: UnsafeRawPointer, _ size: Int) -> T {
    withUnsafeTemporaryAllocation(of: T.self, capacity: 1) { copy in
      let bytes = UnsafeMutableRawBufferPointer(copy)
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
      bytes.copyMemory(from: UnsafeRawBufferPointer(start: source, count: min(size, bytes.count)))
      return copy[0]
    }
  }

  /// A list of integers; nil for a NULL pointer, which stands for "no list".
  func integers(_ start: UnsafePointer<Int32>?, _ count: UInt64, _ field: String) throws(Fault) -> [Int]? {
    guard let start else {
      guard count == 0 else { throw fault(field, "is NULL, but its count is \(count)") }
      return nil
    }
    guard count <= Self.countCap else { throw fault(field, "its count is \(count); at most \(Self.countCap) are read") }
    return UnsafeBufferPointer(start: start, count: Int(count)).map(Int.init)
  }
}
