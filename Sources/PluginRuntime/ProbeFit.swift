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
  /// It learns what the last layer will make of a row, and answers with hidden states. Any other tells classes apart.
  var isLens: Bool { get }
  /// - Parameter classes: 0 of a lens.
  func begin(features: Int, classes: Int) throws(PluginError)
  func batch(_ rows: FeatureRows, classes: ArraySlice<Int32>, images: ArraySlice<UInt64>) throws(PluginError)
  /// Of a lens: what the last layer has left of the same rows.
  func batch(_ rows: FeatureRows, finals: FeatureRows, images: ArraySlice<UInt64>) throws(PluginError)
  func end() throws(PluginError)
  /// Fills the start of `answers` with log-probabilities, [rows, classes]; what is behind them is the caller's. Of a lens `classes` is the
  /// width.
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
  /// What an answer has of each row: the classes, or of a lens the width.
  private var outputs = 0

  package var isLens: Bool { calls.isLens }

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
    outputs = count
  }

  /// Of a lens: learns what the last layer has made of `rows`, `finals`, the same rows in the same order.
  package func fit(_ rows: FeatureRows, finals: FeatureRows, images: [UInt64]) throws(PluginError) {
    try calls.begin(features: rows.width, classes: 0)
    for block in Self.blocks(rows.count, width: rows.width) {
      try calls.batch(rows[block], finals: finals[block], images: images[block])
    }
    try calls.end()
    outputs = rows.width
  }

  /// Log-probabilities in nats, [rows, classes], each row's probabilities summing to 1; of a lens hidden states, [rows, width].
  package func predict(_ rows: FeatureRows) throws(PluginError) -> [Float] {
    var answers: [Float] = []
    for block in Self.blocks(rows.count, width: max(rows.width, outputs)) { answers += try predict(block: rows[block]) }
    for row in 0..<rows.count { try check(answers[(row * outputs)..<((row + 1) * outputs)], row: row) }
    return answers
  }

  private func check(_ answer: ArraySlice<Float>, row: Int) throws(PluginError) {
    if isLens {
      guard !answer.allSatisfy(\.isFinite) else { return }
      throw .failed(plugin: plugin, at: "predict", reason: "the hidden state of row \(row) is not finite")
    }
    let sum = answer.reduce(0.0) { $0 + exp(Double($1)) }
    guard abs(sum - 1) <= 1e-3 else {
      throw .failed(plugin: plugin, at: "predict", reason: "the probabilities of row \(row) sum to \(sum)")
    }
  }

  private func predict(block rows: FeatureRows) throws(PluginError) -> [Float] {
    let (count, margin) = (rows.count * outputs, 16)
    let canary = Float(bitPattern: 0x7FC0_DEAD)  // a NaN: what is not written shows
    var answers = [Float](repeating: canary, count: count + margin)
    try answers.withUnsafeMutableBufferPointer { buffer throws(PluginError) in
      try calls.predict(rows, classes: outputs, into: buffer)
    }
    guard answers[count...].allSatisfy({ $0.bitPattern == canary.bitPattern }) else {
      let what = isLens ? "hidden states" : "log-probabilities"
      throw .failed(plugin: plugin, at: "predict", reason: "wrote past the end of the \(what)")
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

  /// - Parameter outputs: what an answer has of each row: the number of classes, or of a lens the width.
  package func load(_ bytes: [UInt8], outputs: Int) throws(PluginError) {
    try calls.load(bytes)
    self.outputs = outputs
  }
}
