import Diagnostics
import Models
import PluginRuntime
import Synchronization

/// One fit of a probe that learns: its plugin, made anew, with random numbers that belong to this fit.
package final class LearnedProbe {
  private let fit: ProbeFit
  private let said = Warnings()
  /// How the answers of a lens that learns are read; nil of a probe that tells classes apart.
  package let lens: LensReader?

  /// - Parameters:
  ///   - name: the same for the same fit, wherever and whenever it is made.
  ///   - words: the model whose words a lens reads; without it none can learn.
  package init(
    _ spec: AttachmentSpec, model: ModelFacts, seed: UInt64, name: String, words: VisionLanguageModel? = nil
  ) throws(PluginError) {
    guard case .plugin(let manifest, let given, _, let placement) = spec else {
      throw .failed(plugin: "\(spec)", at: "fit", reason: "is no plugin that learns")
    }
    let key = Philox.key(seed: seed, lane: UInt64(SHA256.hex(name).prefix(16), radix: 16) ?? 0)
    let (said, reader) = (said, Reader())
    var services = HostServices(
      log: { level, text in if level.rawValue >= HostServices.LogLevel.warning.rawValue { said.add(text) } },
      emit: { _, _, _ in throw NoLaneInFit() }, randomKey: { _ in key })
    if words != nil { services.divergence = { try reader.lens?.gradient($0, from: $1) ?? ([], []) } }
    let calls = try placement.open(
      manifest, parameters: manifest.resolve(given), model: model, services: services)
    fit = ProbeFit(try calls.fit(), plugin: manifest.id)
    guard fit.isLens else {
      lens = nil
      return
    }
    guard placement.executor == .inProcess else {
      let reason = "is a lens that learns, which it can do in process only, not in a worker"
      throw .failed(plugin: manifest.id, at: "fit", reason: reason)
    }
    let capture = try calls.plan(nil).readings.first { $0.operation == .capture }
    guard let words, let capture else {
      throw .failed(plugin: manifest.id, at: "fit", reason: "is a lens that learns: it needs a model and a capture")
    }
    lens = LensReader(model: words, request: capture)
    reader.lens = lens
  }

  /// The plan that says how a lens is read is asked of an instance that has its services already.
  private final class Reader { var lens: LensReader? }

  /// - Parameters:
  ///   - values: [rows, width].
  ///   - images: of each row, by number.
  package func learn(
    _ values: [Float], width: Int, classes: [Int32], images: [UInt64], of count: Int
  ) throws(PluginError) {
    try values.withUnsafeBufferPointer { buffer throws(PluginError) in
      guard let base = buffer.baseAddress else { return }
      try fit.fit(
        FeatureRows(base: base, count: classes.count, width: width), classes: classes, images: images, of: count)
    }
  }

  /// Of a lens.
  ///
  /// - Parameters:
  ///   - values: [rows, width].
  ///   - finals: what the last layer left of the same rows, [rows, width].
  package func learn(_ values: [Float], width: Int, finals: [Float], images: [UInt64]) throws(PluginError) {
    try values.withUnsafeBufferPointer { rows throws(PluginError) in
      try finals.withUnsafeBufferPointer { last throws(PluginError) in
        guard let rows = rows.baseAddress, let last = last.baseAddress else { return }
        try fit.fit(
          FeatureRows(base: rows, count: images.count, width: width),
          finals: FeatureRows(base: last, count: images.count, width: width), images: images)
      }
    }
  }

  /// Log-probabilities in nats, [rows, classes]; of a lens hidden states, [rows, width].
  package func predict(_ values: [Float], width: Int) throws(PluginError) -> [Float] {
    try values.withUnsafeBufferPointer { buffer throws(PluginError) in
      guard let base = buffer.baseAddress, width > 0 else { return [] }
      return try fit.predict(FeatureRows(base: base, count: values.count / width, width: width))
    }
  }

  package func save() throws(PluginError) -> [UInt8] { try fit.save() }

  /// - Parameter outputs: the number of classes; of a lens the width.
  package func load(_ bytes: [UInt8], outputs: Int) throws(PluginError) { try fit.load(bytes, outputs: outputs) }

  /// What the plugin said at level 2 or above.
  package var warnings: [String] { said.all }
}

private struct NoLaneInFit: Error, CustomStringConvertible {
  let description = "a fit has no lane to emit rows for"
}

/// `log` may be called from a plugin's own threads.
private final class Warnings: Sendable {
  private let texts = Mutex<[String]>([])
  func add(_ text: String) { texts.withLock { $0.append(text) } }
  var all: [String] { texts.withLock { $0 } }
}
