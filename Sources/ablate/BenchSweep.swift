import ArgumentParser
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors

/// Sweeps that published studies run, as conditions of edits.
enum BenchSweep: String, ExpressibleByArgument, CaseIterable {
  /// The last row may not attend to the image, layer by layer.
  case knockout
  /// Image rows may not attend to each other, in windows of an eighth of the layers around each layer.
  case windows
  /// Each head of each layer is zeroed at the last row.
  case heads

  func conditions(_ model: VisionLanguageModel) -> [(name: String, steps: [AttachmentSpec])] {
    let text = model.configuration.text
    let reach = text.layers / 16
    return (0..<text.layers).flatMap { layer -> [(name: String, steps: [AttachmentSpec])] in
      switch self {
      case .knockout: return [("\(layer)", [edit(.edgeDrop, "\(layer)", rows: "last")])]
      case .windows:
        let window = "\(max(0, layer - reach))-\(min(text.layers - 1, layer + reach))"
        return [("\(layer)", [edit(.edgeDrop, window, rows: "image", keepSelf: true)])]
      case .heads:
        return (0..<text.heads).map { ("\(layer).\($0)", [edit(.siteScale, "\(layer)", heads: [$0], rows: "last")]) }
      }
    }
  }

  private func edit(
    _ operation: EditRequest.Operation, _ layers: String, heads: [Int]? = nil, rows: String, keepSelf: Bool = false
  ) -> AttachmentSpec {
    let request = EditRequest(
      operation: operation, tower: "text", site: operation.isEdge ? nil : Site.z.rawValue, layers: .selector(layers),
      heads: heads, queries: .selector(rows), keys: .selector("image"), value: 0, vector: nil, keepSelf: keepSelf,
      onEmpty: .itself)
    return .edit(ManifestEdit(name: "\(operation)", request: request, place: "bench"))
  }

  /// Times the whole sweep on one example against the clean pass, by turns, and prints medians.
  func run(_ model: VisionLanguageModel, _ input: ModelInput, repeats: Int) throws {
    let conditions = conditions(model)
    let item = Item(id: "bench", index: 0, input: input)
    let wish = Session.Wish(outputRows: [input.ids.count - 1])
    let clean = try Session(model, conditions: [(name: "clean", steps: [])], probes: [], seed: 0, reuse: false)
    let sweep = try Session(model, conditions: conditions, probes: [], seed: 0)
    let cost = try sweep.cost(item, conditions: conditions.map(\.name), wish).multiplyAdds
    var times: [(clean: Double, sweep: Double)] = []
    for _ in 0...repeats {  // the first round compiles kernels and does not count
      times.append((try seconds(clean, item, ["clean"], wish), try seconds(sweep, item, conditions.map(\.name), wish)))
    }
    let ratios = times.dropFirst().map { $0.sweep / $0.clean }.sorted()
    let (passes, middle) = (times.dropFirst().map(\.clean).sorted(), ratios.count / 2)
    let share = Double(cost.lanes.reduce(cost.shared, +)) / Double(cost.full)
    print("\(rawValue): \(conditions.count) conditions, \(engineThreads) threads")
    print(
      String(
        format: "clean %.1f ms; sweep %.2f clean passes (%.2f to %.2f), %.2f by its multiply-adds; a pass each: %.1f x",
        passes[middle] * 1e3, ratios[middle], ratios[0], ratios[ratios.count - 1], share,
        Double(conditions.count) / ratios[middle]))
  }

  private func seconds(
    _ session: Session, _ item: Item, _ conditions: [String], _ wish: Session.Wish
  ) throws -> Double {
    let start = ContinuousClock.now
    session.model.forget()  // a sweep pays for its image and its clean pass
    for outcome in try session.run(item, conditions: conditions, wish) {
      if let failure = outcome.failure {
        throw PluginError.failed(plugin: failure.plugin, at: failure.point, reason: failure.reason)
      }
    }
    return (ContinuousClock.now - start) / .seconds(1)
  }
}
