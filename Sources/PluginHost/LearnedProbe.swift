import Diagnostics
import PluginRuntime
import Synchronization

/// One fit of a probe that learns: its plugin, made anew, with random numbers that belong to this fit.
package final class LearnedProbe {
  private let fit: ProbeFit
  private let said = Warnings()

  /// - Parameter name: the same for the same fit, wherever and whenever it is made.
  package init(_ spec: AttachmentSpec, model: ModelFacts, seed: UInt64, name: String) throws(PluginError) {
    guard case .plugin(let manifest, let given, _, let placement) = spec else {
      throw .failed(plugin: "\(spec)", at: "fit", reason: "is no plugin that learns")
    }
    let key = Philox.key(seed: seed, lane: UInt64(SHA256.hex(name).prefix(16), radix: 16) ?? 0)
    let said = said
    let services = HostServices(
      log: { level, text in if level.rawValue >= HostServices.LogLevel.warning.rawValue { said.add(text) } },
      emit: { _, _, _ in throw NoLane() }, randomKey: { _ in key })
    let calls = try placement.open(
      manifest, parameters: manifest.resolve(given), model: model, services: services)
    fit = ProbeFit(try calls.fit(), plugin: manifest.id)
  }

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

  /// Log-probabilities in nats, [rows, classes].
  package func predict(_ values: [Float], width: Int) throws(PluginError) -> [Float] {
    try values.withUnsafeBufferPointer { buffer throws(PluginError) in
      guard let base = buffer.baseAddress, width > 0 else { return [] }
      return try fit.predict(FeatureRows(base: base, count: values.count / width, width: width))
    }
  }

  package func save() throws(PluginError) -> [UInt8] { try fit.save() }

  package func load(_ bytes: [UInt8], classes: Int) throws(PluginError) { try fit.load(bytes, classes: classes) }

  /// What the plugin said at level 2 or above.
  package var warnings: [String] { said.all }
}

private struct NoLane: Error, CustomStringConvertible {
  let description = "a fit has no lane to emit rows for"
}

/// `log` may be called from a plugin's own threads.
private final class Warnings: Sendable {
  private let texts = Mutex<[String]>([])
  func add(_ text: String) { texts.withLock { $0.append(text) } }
  var all: [String] { texts.withLock { $0 } }
}
