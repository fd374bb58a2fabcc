import Glibc
import PluginABI

extension PluginInstance {
  /// Whether the plugin is a probe that learns.
  package var learns: Bool { self.extension(ABLATE_EXT_FIT) != nil }

  package func fit() throws(PluginError) -> any FitCalls { try PluginFit(self) }
}

/// A probe that learns, in this process: through the plugin's own table of functions.
final class PluginFit: FitCalls {
  private let instance: PluginInstance
  private let functions: ablate_ext_fit

  init(_ instance: PluginInstance) throws(PluginError) {
    self.instance = instance
    let reader = ForeignReader(at: ABLATE_EXT_FIT)
    do {
      guard let table = instance.extension(ABLATE_EXT_FIT) else {
        throw reader.fault("", "the plugin has no such extension: it does not learn")
      }
      let found = try reader.structs(table.assumingMemoryBound(to: ablate_ext_fit.self), 1, "")
      functions = found[0]
      for (name, present) in [
        ("begin", functions.begin != nil), ("end", functions.end != nil),
        ("batch", functions.batch != nil || functions.batch_finals != nil),
        ("predict", functions.predict != nil), ("save", functions.save != nil), ("load", functions.load != nil),
      ] where !present {
        throw reader.fault(name, "is NULL, but required")
      }
      guard functions.batch == nil || functions.batch_finals == nil else {
        throw reader.fault("batch_finals", "stands beside batch: a probe learns classes, or it is a lens")
      }
    } catch let fault as ForeignReader.Fault {
      throw .descriptor(path: instance.library.object.path, field: fault.field, problem: fault.problem)
    } catch { throw .descriptor(path: instance.library.object.path, field: "", problem: "\(error)") }
  }

  var isLens: Bool { functions.batch_finals != nil }

  func begin(features: Int, classes: Int) throws(PluginError) {
    let handle = instance.handle
    try instance.call("begin") { functions.begin?(handle, UInt64(features), UInt64(classes), $0) }
  }

  func batch(_ rows: FeatureRows, classes: ArraySlice<Int32>, images: ArraySlice<UInt64>) throws(PluginError) {
    let (handle, memory) = (instance.handle, ForeignMemory())
    let (view, given, clusters) = (rows.view(memory), memory.array(Array(classes)), memory.array(Array(images)))
    try instance.call("batch") { functions.batch?(handle, view, given, clusters, $0) }
  }

  func batch(_ rows: FeatureRows, finals: FeatureRows, images: ArraySlice<UInt64>) throws(PluginError) {
    let (handle, memory) = (instance.handle, ForeignMemory())
    let (view, last, clusters) = (rows.view(memory), finals.view(memory), memory.array(Array(images)))
    try instance.call("batch_finals") { functions.batch_finals?(handle, view, last, clusters, $0) }
  }

  func end() throws(PluginError) {
    let handle = instance.handle
    try instance.call("end") { functions.end?(handle, $0) }
  }

  func predict(
    _ rows: FeatureRows, classes: Int, into answers: UnsafeMutableBufferPointer<Float>
  ) throws(PluginError) {
    let (handle, memory) = (instance.handle, ForeignMemory())
    let view = rows.view(memory)
    let output = memory.view(answers.baseAddress, shape: [rows.count, classes], access: ABLATE_WRITE)
    try instance.call("predict") { functions.predict?(handle, view, output, $0) }
  }

  func save() throws(PluginError) -> [UInt8] {
    let (handle, sink) = (instance.handle, Sink())
    let stream = Unmanaged.passUnretained(sink).toOpaque()
    try instance.call("save") { error in
      functions.save?(
        handle, { stream, bytes, count in Sink.of(stream)?.take(bytes, count) ?? ABLATE_E_INVALID }, stream, error)
    }
    return sink.bytes
  }

  func load(_ bytes: [UInt8]) throws(PluginError) {
    let (handle, source) = (instance.handle, Source(bytes))
    let stream = Unmanaged.passUnretained(source).toOpaque()
    try instance.call("load") { error in
      functions.load?(handle, { stream, bytes, count in Source.of(stream)?.give(bytes, count) ?? 0 }, stream, error)
    }
  }
}

extension FeatureRows {
  fileprivate func view(_ memory: ForeignMemory) -> UnsafePointer<ablate_tensor>? {
    memory.view(UnsafeMutablePointer(mutating: base), shape: [count, width], access: ABLATE_READ)
  }
}

/// Takes what a plugin saves.
private final class Sink {
  var bytes: [UInt8] = []

  static func of(_ stream: UnsafeMutableRawPointer?) -> Sink? {
    stream.map { Unmanaged<Sink>.fromOpaque($0).takeUnretainedValue() }
  }

  func take(_ start: UnsafeRawPointer?, _ count: UInt64) -> ablate_status {
    guard count <= UInt64(ProbeFit.stateCap - bytes.count), count == 0 || start != nil else { return ABLATE_E_INVALID }
    bytes += UnsafeRawBufferPointer(start: start, count: Int(count))
    return ABLATE_OK
  }
}

/// Gives a plugin what it saved.
private final class Source {
  private let bytes: [UInt8]
  private var next = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  static func of(_ stream: UnsafeMutableRawPointer?) -> Source? {
    stream.map { Unmanaged<Source>.fromOpaque($0).takeUnretainedValue() }
  }

  func give(_ target: UnsafeMutableRawPointer?, _ capacity: UInt64) -> UInt64 {
    let count = min(Int(clamping: capacity), bytes.count - next)
    guard let target, count > 0 else { return 0 }
    bytes[next..<(next + count)].withUnsafeBytes { piece in
      if let base = piece.baseAddress { target.copyMemory(from: base, byteCount: count) }
    }
    next += count
    return UInt64(count)
  }
}
