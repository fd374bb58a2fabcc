import PluginABI

/// A buffer for a plugin's words, owned by the host, with a canary behind it. Made once and used for every call.
final class ErrorBuffer {
  static let capacity = 1024
  private static let canary: UInt64 = 0xC3C3_C3C3_C3C3_C3C3

  private let bytes: UnsafeMutableRawPointer
  private let error: UnsafeMutablePointer<ablate_error>

  init() {
    bytes = .allocate(byteCount: Self.capacity + 8, alignment: 8)
    bytes.storeBytes(of: Self.canary, toByteOffset: Self.capacity, as: UInt64.self)
    error = .allocate(capacity: 1)
  }

  deinit {
    bytes.deallocate()
    error.deallocate()
  }

  /// An empty error for the next call.
  func fresh() -> UnsafeMutablePointer<ablate_error> {
    bytes.storeBytes(of: 0, as: UInt8.self)
    error.initialize(
      to: ablate_error(
        struct_size: ABI.size(of: ablate_error.self), code: 0, message: bytes.assumingMemoryBound(to: CChar.self),
        capacity: UInt64(Self.capacity)))
    return error
  }

  var code: ablate_status { error.pointee.code }

  /// What the plugin said, if it is text; "" when it said nothing.
  var message: String {
    let text = UnsafeRawBufferPointer(start: bytes, count: Self.capacity).prefix { $0 != 0 }
    return String(decoding: text, as: UTF8.self)
  }

  /// The last call wrote past the end of the message.
  var wasOverrun: Bool { bytes.load(fromByteOffset: Self.capacity, as: UInt64.self) != Self.canary }
}
