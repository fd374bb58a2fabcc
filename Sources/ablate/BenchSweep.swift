import ArgumentParser
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors

/// What published studies run on one image, beside the clean pass.
enum BenchSweep: String, ExpressibleByArgument, CaseIterable {
  /// The last row may not attend to the image, layer by layer.
  case knockout
  /// Image rows may not attend to each other, in windows of an eighth of the layers around each layer.
  case windows
  /// Each head of each layer is zeroed at the last row.
  case heads
  /// No condition, but twenty questions: every row behind the image has another token each time.
  case questions

  /// A sweep that is ready to run.
  struct Work {
    /// Conditions or questions.
    let count: Int
    let run: () throws -> Void
    /// Multiply-adds, as a share of as many clean passes; nil for questions, which are not planned together.
    let share: Double?
  }

  func work(_ model: VisionLanguageModel, _ input: ModelInput) throws -> Work {
    if self == .questions {
      let inputs = try questions(model, input)
      let clean = try Session(model, conditions: [(name: "clean", steps: [])], probes: [], seed: 0)
      return Work(count: inputs.count, run: { for input in inputs { try run(clean, input, ["clean"]) } }, share: nil)
    }
    let conditions = conditions(model)
    let names = conditions.map(\.name)
    let session = try Session(model, conditions: conditions, probes: [], seed: 0)
    let cost = try session.cost(item(input), conditions: names, wish(input)).multiplyAdds
    return Work(
      count: names.count, run: { try run(session, input, names) },
      share: Double(cost.lanes.reduce(cost.shared, +)) / Double(cost.full))
  }

  private func conditions(_ model: VisionLanguageModel) -> [(name: String, steps: [AttachmentSpec])] {
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
      case .questions: return []
      }
    }
  }

  private func questions(_ model: VisionLanguageModel, _ input: ModelInput) throws -> [ModelInput] {
    let asked = (input.segments.segments.last { $0.kind == .image }?.rows.upperBound ?? 0)..<input.ids.count
    return try (0..<20).map { question in
      let ids = input.ids.enumerated().map { row, id in asked.contains(row) ? 5 + (id + question) % 50 : id }
      return try model.input(ids: ids, pixels: input.pixels, layout: input.segments.layout)
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
  func measure(_ model: VisionLanguageModel, _ input: ModelInput, repeats: Int) throws {
    let clean = try Session(model, conditions: [(name: "clean", steps: [])], probes: [], seed: 0, reuse: false)
    let work = try work(model, input)
    var times: [(clean: Double, sweep: Double)] = []
    for _ in 0...repeats {  // the first round compiles kernels and does not count
      times.append((try seconds(model) { try run(clean, input, ["clean"]) }, try seconds(model, work.run)))
    }
    let ratios = times.dropFirst().map { $0.sweep / $0.clean }.sorted()
    let (passes, middle) = (times.dropFirst().map(\.clean).sorted(), ratios.count / 2)
    print("\(rawValue): \(work.count) \(self == .questions ? "prompts" : "conditions"), \(engineThreads) threads")
    let share = work.share.map { String(format: ", %.2f by its multiply-adds", $0) } ?? ""
    print(
      String(
        format: "clean %.1f ms; sweep %.2f clean passes (%.2f to %.2f)%@; a pass each: %.1f x", passes[middle] * 1e3,
        ratios[middle], ratios[0], ratios[ratios.count - 1], share, Double(work.count) / ratios[middle]))
  }

  /// Of one sweep, plans and plugins included.
  func milliseconds(_ model: VisionLanguageModel, _ input: ModelInput) throws -> Double {
    try seconds(model) { try work(model, input).run() } * 1e3
  }

  /// A sweep pays for its image and its clean pass.
  private func seconds(_ model: VisionLanguageModel, _ body: () throws -> Void) throws -> Double {
    let start = ContinuousClock.now
    model.forget()
    try body()
    return (ContinuousClock.now - start) / .seconds(1)
  }

  private func item(_ input: ModelInput) -> Item { Item(id: "bench", index: 0, input: input) }
  private func wish(_ input: ModelInput) -> Session.Wish { Session.Wish(outputRows: [input.ids.count - 1]) }

  private func run(_ session: Session, _ input: ModelInput, _ conditions: [String]) throws {
    for outcome in try session.run(item(input), conditions: conditions, wish(input)) {
      if let failure = outcome.failure {
        throw PluginError.failed(plugin: failure.plugin, at: failure.point, reason: failure.reason)
      }
    }
  }
}
