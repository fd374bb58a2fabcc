import Glibc

/// A probe that learns, in a worker. Features go through the shared views, what was learned in pieces of a message. What a worker that
/// has ended had learned is gone, and the fit has failed.
extension WorkerInstance: FitCalls {
  package func fit() throws(PluginError) -> any FitCalls {
    isLens = try call(.fit, WireWriter(), at: "fit", Bool.self)
    return self
  }

  package func begin(features: Int, classes: Int) throws(PluginError) {
    var message = WireWriter()
    message.put(features, classes)
    try learning(.beginFit, message, at: "begin", Nothing.self)
  }

  package func batch(_ rows: FeatureRows, classes: ArraySlice<Int32>, images: ArraySlice<UInt64>) throws(PluginError) {
    var message = WireWriter()
    message.put(rows.count, rows.width, Array(classes), Array(images))
    try share(rows, at: "batch")
    try learning(.batch, message, at: "batch", within: limits.fitSeconds, Nothing.self)
  }

  /// It asks the host for the gradient at every step: that is not relayed.
  package func batch(_ rows: FeatureRows, finals: FeatureRows, images: ArraySlice<UInt64>) throws(PluginError) {
    throw failed("batch_finals", "is a lens that learns, which it can do in process only, not in a worker")
  }

  package func end() throws(PluginError) {
    try learning(.endFit, WireWriter(), at: "end", within: limits.fitSeconds, Nothing.self)
  }

  package func predict(
    _ rows: FeatureRows, classes: Int, into answers: UnsafeMutableBufferPointer<Float>
  ) throws(PluginError) {
    var message = WireWriter()
    message.put(rows.count, rows.width, classes)
    try share(rows, at: "predict")
    guard let target = answers.baseAddress, let views = worker?.channel.views else { return }
    // With what lies behind the answers, so that a write there shows.
    memcpy(views + rows.sharedBytes, target, answers.count * 4)
    try learning(.predict, message, at: "predict", Nothing.self)
    memcpy(target, views + rows.sharedBytes, answers.count * 4)
  }

  package func save() throws(PluginError) -> [UInt8] {
    var state: [UInt8] = []
    while true {
      var message = WireWriter()
      message.put(state.count)
      let piece = try learning(.save, message, at: "save", StatePiece.self)
      state += piece.bytes
      guard piece.total <= ProbeFit.stateCap, !piece.bytes.isEmpty || piece.total == state.count else {
        throw failed("save", "its worker promises \(piece.total) bytes and gives \(state.count)")
      }
      if state.count >= piece.total { return state }
    }
  }

  package func load(_ bytes: [UInt8]) throws(PluginError) {
    var sent = 0
    repeat {
      let piece = StatePiece(total: bytes.count, bytes: bytes.dropFirst(sent).prefix(StatePiece.most))
      var message = WireWriter()
      message.put(piece)
      try learning(.load, message, at: "load", Nothing.self)
      sent += piece.bytes.count
    } while sent < bytes.count
  }

  private func share(_ rows: FeatureRows, at place: String) throws(PluginError) {
    guard let worker else { throw lost(at: place) }
    memcpy(worker.channel.views, rows.base, rows.count * rows.width * 4)
  }

  /// A new worker would have learned nothing: none is started.
  @discardableResult
  private func learning<Answer: Wire>(
    _ kind: WorkerChannel.Kind, _ message: WireWriter, at place: String, within seconds: Double? = nil,
    _ answer: Answer.Type
  ) throws(PluginError) -> Answer {
    guard worker != nil else { throw lost(at: place) }
    return try call(kind, message, at: place, within: seconds, answer)
  }

  private func lost(at place: String) -> PluginError {
    failed(place, "its worker had ended, and what it had learned with it")
  }
}

extension FeatureRows {
  /// What they take in the shared memory, where views begin at multiples of 64.
  var sharedBytes: Int { (count * width * 4 + 63) / 64 * 64 }
}

/// A part of what a probe has learned.
struct StatePiece: Wire {
  static let most = 16 << 20

  /// Bytes of all parts.
  var total: Int
  var bytes: ArraySlice<UInt8>

  init(total: Int, bytes: ArraySlice<UInt8>) { (self.total, self.bytes) = (total, bytes) }

  func write(to wire: inout WireWriter) {
    wire.put(total)
    bytes.withUnsafeBytes { wire.put(counted: $0) }
  }

  init(from wire: inout WireReader) throws(WireFault) { (total, bytes) = (try wire.get(), try wire.counted()) }
}

/// The worker's side: a probe that learns, and its state on the way in or out.
final class FitService {
  private let fit: any FitCalls
  private let views: UnsafeMutableRawPointer
  /// On their way out and in.
  private var (saved, loaded): ([UInt8], [UInt8]) = ([], [])

  init(_ fit: any FitCalls, views: UnsafeMutableRawPointer) { (self.fit, self.views) = (fit, views) }

  func answer(_ kind: WorkerChannel.Kind, _ wire: inout WireReader, into answer: inout WireWriter) throws {
    switch kind {
    case .beginFit: try fit.begin(features: wire.get(), classes: wire.get())
    case .batch:
      let rows = try rows(&wire)
      let (classes, images): ([Int32], [UInt64]) = (try wire.get(), try wire.get())
      try fit.batch(rows, classes: classes[...], images: images[...])
    case .endFit: try fit.end()
    case .predict:
      let rows = try rows(&wire)
      let classes: Int = try wire.get()
      let answers = (views + rows.sharedBytes).assumingMemoryBound(to: Float.self)
      let buffer = UnsafeMutableBufferPointer(start: answers, count: rows.count * classes)
      try fit.predict(rows, classes: classes, into: buffer)
    case .save:
      let first: Int = try wire.get()
      if first == 0 { saved = try fit.save() }
      answer.put(StatePiece(total: saved.count, bytes: saved.dropFirst(first).prefix(StatePiece.most)))
    case .load:
      let piece: StatePiece = try wire.get()
      loaded += piece.bytes
      guard loaded.count >= piece.total else { return }
      defer { loaded = [] }
      try fit.load(loaded)
    default: throw WireFault(problem: "\(kind) is no request to a fit")
    }
  }

  private func rows(_ wire: inout WireReader) throws -> FeatureRows {
    FeatureRows(base: views.assumingMemoryBound(to: Float.self), count: try wire.get(), width: try wire.get())
  }
}
