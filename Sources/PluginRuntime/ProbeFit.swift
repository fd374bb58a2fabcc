import Glibc

/// Rows of one hook point that a probe learns from or is asked about: dense f32, [rows, width], which the host owns.
package struct FeatureRows {
  package var base: UnsafePointer<Float>
  package var count: Int
  package var width: Int

  package init(base: UnsafePointer<Float>, count: Int, width: Int) {
    (self.base, self.count, self.width) = (base, count, width)
  }

  subscript(rows: Range<Int>) -> FeatureRows {
    FeatureRows(base: base + rows.lowerBound * width, count: rows.count, width: width)
  }
}

/// The calls of a probe that learns, wherever its code runs: the extension `ablate.fit/1`. `ProbeFit` checks what they give.
package protocol FitCalls: AnyObject {
  func begin(features: Int, classes: Int) throws(PluginError)
  func batch(_ rows: FeatureRows, classes: ArraySlice<Int32>, images: ArraySlice<UInt64>) throws(PluginError)
  func end() throws(PluginError)
  /// Fills the start of `answers` with log-probabilities, [rows, classes]; what is behind them is the caller's.
  func predict(
    _ rows: FeatureRows, classes: Int, into answers: UnsafeMutableBufferPointer<Float>
  ) throws(PluginError)
  func save() throws(PluginError) -> [UInt8]
  func load(_ bytes: [UInt8]) throws(PluginError)
}

/// One fit of a probe that learns: an instance of its own.
package final class ProbeFit {
  private let calls: any FitCalls
  private let plugin: String
  private var classes = 0

  /// The largest learned state that the host keeps, in bytes.
  package static let stateCap = 1 << 30
  /// Of features in a call, in bytes: the same for each executor, since other batches may give other bits.
  private static let blockBytes = 96 << 20

  /// - Parameter plugin: its name, for errors.
  package init(_ calls: any FitCalls, plugin: String) { (self.calls, self.plugin) = (calls, plugin) }

  /// Learns from `rows`, whose classes and images are given by number.
  package func fit(_ rows: FeatureRows, classes: [Int32], images: [UInt64], of count: Int) throws(PluginError) {
    try calls.begin(features: rows.width, classes: count)
    for block in Self.blocks(rows.count, width: rows.width) {
      try calls.batch(rows[block], classes: classes[block], images: images[block])
    }
    try calls.end()
    self.classes = count
  }

  /// Log-probabilities in nats, [rows, classes], each row's probabilities summing to 1.
  package func predict(_ rows: FeatureRows) throws(PluginError) -> [Float] {
    var answers: [Float] = []
    for block in Self.blocks(rows.count, width: max(rows.width, classes)) { answers += try predict(block: rows[block]) }
    for row in 0..<rows.count {
      let sum = answers[(row * classes)..<((row + 1) * classes)].reduce(0.0) { $0 + exp(Double($1)) }
      guard abs(sum - 1) <= 1e-3 else {
        throw .failed(plugin: plugin, at: "predict", reason: "the probabilities of row \(row) sum to \(sum)")
      }
    }
    return answers
  }

  private func predict(block rows: FeatureRows) throws(PluginError) -> [Float] {
    let (count, margin) = (rows.count * classes, 16)
    let canary = Float(bitPattern: 0x7FC0_DEAD)  // a NaN: what is not written shows
    var answers = [Float](repeating: canary, count: count + margin)
    try answers.withUnsafeMutableBufferPointer { buffer throws(PluginError) in
      try calls.predict(rows, classes: classes, into: buffer)
    }
    guard answers[count...].allSatisfy({ $0.bitPattern == canary.bitPattern }) else {
      throw .failed(plugin: plugin, at: "predict", reason: "wrote past the end of the log-probabilities")
    }
    answers.removeLast(margin)
    return answers
  }

  private static func blocks(_ count: Int, width: Int) -> [Range<Int>] {
    let most = max(1, blockBytes / (4 * max(1, width)))
    return stride(from: 0, to: count, by: most).map { $0..<min($0 + most, count) }
  }

  /// What was learned, as bytes that `load` takes.
  package func save() throws(PluginError) -> [UInt8] { try calls.save() }

  package func load(_ bytes: [UInt8], classes: Int) throws(PluginError) {
    try calls.load(bytes)
    self.classes = classes
  }
}
