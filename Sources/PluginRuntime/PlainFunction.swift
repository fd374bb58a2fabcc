import CFFI
import PluginABI

/// A plain C function of a library that knows nothing of Ablate, called through libffi by the signature of plugin.json.
///
/// A wrong signature is mostly silent (of five tried, four returned as if all were well), so that before the library is
/// loaded here its known-answer test runs in a child process: `KnownAnswerRun`.
package struct PlainFunction: @unchecked Sendable {
  package let manifest: PluginManifest
  package let object: SharedObject
  let spec: PlainSpec
  let address: UnsafeMutableRawPointer

  package var id: String { manifest.id }
  package var sha256: String { object.sha256 }
  /// What the function does with the view.
  package var access: Access {
    spec.signature.arguments.reduce(into: []) { access, argument in
      if case .view(_, let view) = argument { access.formUnion(view) }
    }
  }

  /// Checks the file and the symbol without running its code, proves the signature in a child, then loads the library.
  /// Call it before the engine starts: the child is made by fork, which copies no thread but this one.
  package static func open(_ manifest: PluginManifest, timeout: Double = 5) throws(PluginError) -> PlainFunction {
    guard let spec = manifest.plain else {
      throw .manifest(path: manifest.path, at: "grade", problem: "is not \"plain\"")
    }
    let object = try manifest.checkedLibrary()
    try KnownAnswerRun(manifest: manifest, spec: spec, object: object, timeout: timeout).prove()
    let address = try object.load(spec.symbol)
    return PlainFunction(manifest: manifest, object: object, spec: spec, address: address)
  }

  /// The function with the parameters of a condition filled in. `parameters` are those of `PluginManifest.resolve`.
  package func bound(to parameters: [BoundParameter]) throws(PluginError) -> PlainCall {
    PlainCall(self, frame: try ArgumentFrame(spec, manifest, parameters))
  }
}

/// A plain function ready to be called, over and over; serial.
package final class PlainCall {
  private let function: PlainFunction
  private let frame: ArgumentFrame

  init(_ function: PlainFunction, frame: ArgumentFrame) {
    self.function = function
    self.frame = frame
  }

  /// Calls the function on a dense view. `place` names the hook point in an error.
  package func callAsFunction(
    _ view: UnsafeMutableBufferPointer<Float>, at place: @autoclosure () -> String
  ) throws(PluginError) {
    guard let start = view.baseAddress, !view.isEmpty else { return }
    try frame.setView(start, count: view.count, manifest: function.manifest)
    let address = unsafeBitCast(function.address, to: (@convention(c) () -> Void).self)
    ffi_call(frame.cif, address, frame.result, frame.pointers)
    let status = frame.status
    guard status == 0 else {
      throw .failed(plugin: function.id, at: place(), reason: "'\(function.spec.symbol)' returned \(status)")
    }
  }
}

/// The prepared call of a signature: libffi's description of it, the arguments' values and a result buffer.
final class ArgumentFrame {
  let cif: UnsafeMutablePointer<ffi_cif>
  /// One address per argument, of its value in `slots`.
  let pointers: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  /// libffi widens a small integer result to a register: four bytes would be overrun.
  let result: UnsafeMutableRawPointer
  private let types: UnsafeMutablePointer<UnsafeMutablePointer<ffi_type>?>
  private let slots: UnsafeMutableRawPointer
  private let spec: PlainSpec

  static let resultBytes = 32

  init(_ spec: PlainSpec, _ manifest: PluginManifest, _ parameters: [BoundParameter]) throws(PluginError) {
    let arguments = spec.signature.arguments
    self.spec = spec
    cif = .allocate(capacity: 1)
    pointers = .allocate(capacity: arguments.count)
    types = .allocate(capacity: arguments.count)
    slots = .allocate(byteCount: 8 * arguments.count, alignment: 8)
    result = .allocate(byteCount: Self.resultBytes, alignment: 16)
    slots.initializeMemory(as: UInt64.self, repeating: 0, count: arguments.count)
    result.initializeMemory(as: UInt8.self, repeating: 0, count: Self.resultBytes)
    cif.initialize(to: ffi_cif())
    for (i, argument) in arguments.enumerated() {
      pointers[i] = slots + 8 * i
      types[i] = argument.foreignType
    }
    try fill(parameters, manifest)
    // A void function is called as if it returned an integer, which nobody reads: a register is never an overrun.
    let status = ffi_prep_cif(cif, cffi_default_abi(), UInt32(arguments.count), cffi_sint32(), types)
    guard status == FFI_OK else {
      throw .signature(
        path: manifest.path, at: "plain.signature", problem: "libffi refuses it (status \(status.rawValue))")
    }
  }

  deinit {
    cif.deallocate()
    pointers.deallocate()
    types.deallocate()
    slots.deallocate()
    result.deallocate()
  }

  /// The status that the last call returned; 0 for a function without one.
  var status: Int32 { spec.signature.result == .status ? result.load(as: Int32.self) : 0 }

  func setView(_ start: UnsafeMutablePointer<Float>, count: Int, manifest: PluginManifest) throws(PluginError) {
    for (i, binding) in spec.bindings.enumerated() {
      switch (binding, spec.signature.arguments[i]) {
      case (.viewData, _): slots.storeBytes(of: start, toByteOffset: 8 * i, as: UnsafeMutablePointer<Float>.self)
      case (.viewCount, .scalar(.i32, _)):
        guard let small = Int32(exactly: count) else {
          throw .failed(plugin: manifest.id, at: "view", reason: "\(count) elements are more than its i32 can count")
        }
        slots.storeBytes(of: small, toByteOffset: 8 * i, as: Int32.self)
      case (.viewCount, _): slots.storeBytes(of: Int64(count), toByteOffset: 8 * i, as: Int64.self)
      case (.parameter, _): break
      }
    }
  }

  private func fill(_ parameters: [BoundParameter], _ manifest: PluginManifest) throws(PluginError) {
    for (i, binding) in spec.bindings.enumerated() {
      guard case .parameter(let id) = binding, case .scalar(let type, _) = spec.signature.arguments[i] else { continue }
      guard let value = parameters.first(where: { $0.id == id })?.value, store(value, as: type, slot: i) else {
        throw .parameter(plugin: manifest.id, parameter: id, problem: "does not fit the argument, \(type.rawValue)")
      }
    }
  }

  private func store(_ value: ParameterValue, as type: PlainSignature.Scalar, slot: Int) -> Bool {
    let at = 8 * slot
    switch (type, value) {
    case (.f32, .number(let number)):
      guard Float(number).isFinite else { return false }
      slots.storeBytes(of: Float(number), toByteOffset: at, as: Float.self)
    case (.f64, .number(let number)): slots.storeBytes(of: number, toByteOffset: at, as: Double.self)
    case (.i32, .integer(let number)):
      guard let small = Int32(exactly: number) else { return false }
      slots.storeBytes(of: small, toByteOffset: at, as: Int32.self)
    case (.i64, .integer(let number)): slots.storeBytes(of: number, toByteOffset: at, as: Int64.self)
    case (.i32, .bool(let flag)): slots.storeBytes(of: flag ? 1 : 0, toByteOffset: at, as: Int32.self)
    case (.i64, .bool(let flag)): slots.storeBytes(of: flag ? 1 : 0, toByteOffset: at, as: Int64.self)
    default: return false
    }
    return true
  }
}

extension PlainSignature.Argument {
  fileprivate var foreignType: UnsafeMutablePointer<ffi_type>? {
    switch self {
    case .view: cffi_pointer()
    case .scalar(.i32, _): cffi_sint32()
    case .scalar(.i64, _): cffi_sint64()
    case .scalar(.f32, _): cffi_float()
    case .scalar(.f64, _): cffi_double()
    }
  }
}
