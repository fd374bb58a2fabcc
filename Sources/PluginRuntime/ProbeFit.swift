import Glibc
import PluginABI

/// Rows of one hook point that a probe learns from or is asked about: dense f32, [rows, width], which the host owns.
package struct FeatureRows {
  package var base: UnsafePointer<Float>
  package var count: Int
  package var width: Int

  package init(base: UnsafePointer<Float>, count: Int, width: Int) {
    (self.base, self.count, self.width) = (base, count, width)
  }

  fileprivate func view(_ memory: ForeignMemory) -> UnsafePointer<ablate_tensor>? {
    memory.view(UnsafeMutablePointer(mutating: base), shape: [count, width], access: ABLATE_READ)
  }
}

extension PluginInstance {
  /// Whether the plugin is a probe that learns.
  package var learns: Bool { self.extension(ABLATE_EXT_FIT) != nil }
}

/// One fit of a probe that learns: an instance of its own, through the plugin's extension `ablate.fit/1`.
package final class ProbeFit {
  private let instance: PluginInstance
  private let functions: ablate_ext_fit
  private var classes = 0

  /// The largest learned state that the host keeps, in bytes.
  package static let stateCap = 1 << 30

  package init(_ instance: PluginInstance) throws(PluginError) {
    self.instance = instance
    let reader = ForeignReader(at: ABLATE_EXT_FIT)
    do {
      guard let table = instance.extension(ABLATE_EXT_FIT) else {
        throw reader.fault("", "the plugin has no such extension: it does not learn")
      }
      let found = try reader.structs(table.assumingMemoryBound(to: ablate_ext_fit.self), 1, "")
      functions = found[0]
      for (name, present) in [
        ("begin", functions.begin != nil), ("batch", functions.batch != nil), ("end", functions.end != nil),
        ("predict", functions.predict != nil), ("save", functions.save != nil), ("load", functions.load != nil),
      ] where !present {
        throw reader.fault(name, "is NULL, but required")
      }
    } catch let fault as ForeignReader.Fault {
      throw .descriptor(path: instance.library.object.path, field: fault.field, problem: fault.problem)
    } catch { throw .descriptor(path: instance.library.object.path, field: "", problem: "\(error)") }
  }

  /// Learns from `rows`, whose classes and images are given by number.
  package func fit(_ rows: FeatureRows, classes: [Int32], images: [UInt64], of count: Int) throws(PluginError) {
    let handle = instance.handle
    try instance.call("begin") { functions.begin?(handle, UInt64(rows.width), UInt64(count), $0) }
    let memory = ForeignMemory()
    let (view, given, clusters) = (rows.view(memory), memory.array(classes), memory.array(images))
    try instance.call("batch") { functions.batch?(handle, view, given, clusters, $0) }
    try instance.call("end") { functions.end?(handle, $0) }
    self.classes = count
  }

  /// Log-probabilities in nats, [rows, classes], each row's probabilities summing to 1.
  package func predict(_ rows: FeatureRows) throws(PluginError) -> [Float] {
    let handle = instance.handle
    let memory = ForeignMemory()
    let (count, margin) = (rows.count * classes, 16)
    let canary = Float(bitPattern: 0x7FC0_DEAD)  // a NaN: what is not written shows
    var answers = [Float](repeating: canary, count: count + margin)
    let view = rows.view(memory)
    try answers.withUnsafeMutableBufferPointer { buffer throws(PluginError) in
      let output = memory.view(buffer.baseAddress, shape: [rows.count, classes], access: ABLATE_WRITE)
      try instance.call("predict") { functions.predict?(handle, view, output, $0) }
    }
    guard answers[count...].allSatisfy({ $0.bitPattern == canary.bitPattern }) else {
      throw .failed(plugin: instance.id, at: "predict", reason: "wrote past the end of the log-probabilities")
    }
    answers.removeLast(margin)
    for row in 0..<rows.count {
      let sum = answers[(row * classes)..<((row + 1) * classes)].reduce(0.0) { $0 + exp(Double($1)) }
      guard abs(sum - 1) <= 1e-3 else {
        throw .failed(plugin: instance.id, at: "predict", reason: "the probabilities of row \(row) sum to \(sum)")
      }
    }
    return answers
  }

  /// What was learned, as bytes that `load` takes.
  package func save() throws(PluginError) -> [UInt8] {
    let (handle, sink) = (instance.handle, Sink())
    let stream = Unmanaged.passUnretained(sink).toOpaque()
    try instance.call("save") { error in
      functions.save?(
        handle, { stream, bytes, count in Sink.of(stream)?.take(bytes, count) ?? ABLATE_E_INVALID }, stream, error)
    }
    return sink.bytes
  }

  package func load(_ bytes: [UInt8], classes: Int) throws(PluginError) {
    let (handle, source) = (instance.handle, Source(bytes))
    let stream = Unmanaged.passUnretained(source).toOpaque()
    try instance.call("load") { error in
      functions.load?(handle, { stream, bytes, count in Source.of(stream)?.give(bytes, count) ?? 0 }, stream, error)
    }
    self.classes = classes
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
