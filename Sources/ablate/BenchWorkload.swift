import ArgumentParser
import Models
import PluginHost
import PluginRuntime
import Tensors

/// What published studies run on one image; `Benchmarks/peer.py` has the same list, done as the users of other tools do it. W0 to W9 are the
/// names of docs/performance.md.
struct BenchWorkload: ExpressibleByArgument {
  enum Kind: String, CaseIterable {
    /// W0: the prompt's next token.
    case clean
    /// The same, of an image whose features are there.
    case decoder
    /// W2: one head of a middle layer is zeroed at every row.
    case head
    /// W3: the last row may not attend to the image, layer by layer.
    case knockout
    /// Image rows may not attend to each other, in windows of an eighth of the layers around each layer.
    case windows
    /// W4: each head of each layer is zeroed at the last row.
    case heads
    /// W5: each row of the question, behind each layer, becomes that of another question.
    case patches
    /// W6: sixteen tokens, with a head zeroed at every row.
    case generation
    /// W7: no condition, but twenty questions: every row behind the image has another token each time.
    case questions
    /// W8: a head of the vision encoder is zeroed, in four layers.
    case visionHeads = "vision-heads"
    /// W9: image rows behind a middle layer, of four images.
    case features
  }

  let kind: Kind
  /// Only so many of its conditions, questions or images.
  let limit: Int?

  /// `heads`, or `heads:64`.
  init?(argument: String) {
    let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
    guard let kind = Kind(rawValue: String(parts[0])), parts.count <= 2 else { return nil }
    let limit = parts.count == 2 ? Int(parts[1]) : nil
    if parts.count == 2, limit.map({ $0 > 0 }) != true { return nil }
    (self.kind, self.limit) = (kind, limit)
  }

  static var allValueStrings: [String] { Kind.allCases.map(\.rawValue) }

  /// A workload that is ready to run, on one model and prompt.
  struct Work {
    /// Conditions, questions or images.
    let count: Int
    /// What is not timed.
    var prepare: () throws -> Void
    /// The numbers that its first part gives: logits of the prompt's last row, or the last image row of the features.
    let run: () throws -> Tensor
    /// Multiply-adds, as a share of as many clean passes; nil where the parts are not planned together.
    var share: Double?
  }

  func work(_ model: VisionLanguageModel, _ input: ModelInput) throws -> Work {
    switch kind {
    case .features: return features(model, input)
    case .questions:
      let inputs = try some(0..<20).map { try question($0, model, input) }
      let clean = try session(model, [])
      return work(model, inputs.count) { try inputs.map { try run(clean, $0, ["clean"]) }[0] }
    case .clean, .decoder:
      let clean = try session(model, [])
      var work = work(model, 1) { try run(clean, input, ["clean"]) }
      if kind == .decoder {
        work.prepare = {
          _ = try run(clean, input, ["clean"])
          model.forgetPass()
        }
      }
      return work
    case .head, .knockout, .windows, .heads, .patches, .generation, .visionHeads:
      let input = kind == .generation ? try model.input(ids: input.ids, pixels: input.pixels, newTokens: 16) : input
      let conditions = some(conditions(model, input))
      let names = conditions.map(\.name)
      let session = try session(model, conditions) { _, _ in item(try question(1, model, input)) }
      var work = work(model, names.count) { try run(session, input, names) }
      let cost = try session.cost(item(input), conditions: names, wish(input)).multiplyAdds
      work.share = Double(cost.lanes.reduce(cost.shared, +)) / Double(cost.full)
      return work
    }
  }

  /// Every round pays for its image and its clean pass.
  private func work(_ model: VisionLanguageModel, _ count: Int, _ run: @escaping () throws -> Tensor) -> Work {
    Work(count: count, prepare: { model.forget() }, run: run)
  }

  private func some<C: Collection>(_ all: C) -> C.SubSequence { all.prefix(limit ?? all.count) }

  private typealias NamedSteps = (name: String, steps: [AttachmentSpec])

  private func session(
    _ model: VisionLanguageModel, _ conditions: some Collection<NamedSteps>, items: Session.Items? = nil
  ) throws -> Session {
    try Session(
      model, conditions: [(name: "clean", steps: [])] + conditions, probes: [], seed: 0, items: items)
  }

  private func conditions(_ model: VisionLanguageModel, _ input: ModelInput) -> [NamedSteps] {
    let (text, vision) = (model.configuration.text, model.configuration.visionLayersUsed)
    let reach = text.layers / 16
    func each(_ layers: some Sequence<Int>, _ edit: (Int) -> AttachmentSpec) -> [NamedSteps] {
      layers.map { ("\($0)", [edit($0)]) }
    }
    switch kind {
    case .head, .generation: return each([text.layers / 2]) { edit(.siteScale, $0, head: 0, rows: "all") }
    case .knockout: return each(0..<text.layers) { edit(.edgeDrop, $0, rows: "last") }
    case .windows:
      return each(0..<text.layers) { layer in
        let window = "\(max(0, layer - reach))-\(min(text.layers - 1, layer + reach))"
        return edit(.edgeDrop, window, rows: "image", keepSelf: true)
      }
    case .heads:
      return (0..<text.layers).flatMap { layer in
        (0..<text.heads).map { ("\(layer).\($0)", [edit(.siteScale, layer, head: $0, rows: "last")]) }
      }
    case .patches:
      return (0..<text.layers).flatMap { layer in
        asked(input).map { row in
          ("\(layer).\(row)", [edit(.sitePatch, layer, site: .residPost, rows: "[\(row)]", from: "other")])
        }
      }
    case .visionHeads:
      return each(Set((0..<4).map { $0 * vision / 4 }).sorted()) {
        edit(.siteScale, $0, tower: "vision", head: 0, rows: "all")
      }
    case .clean, .decoder, .questions, .features: return []
    }
  }

  /// Rows behind the image.
  private func asked(_ input: ModelInput) -> Range<Int> {
    (input.segments.segments.last { $0.kind == .image }?.rows.upperBound ?? 0)..<input.ids.count
  }

  private func question(_ number: Int, _ model: VisionLanguageModel, _ input: ModelInput) throws -> ModelInput {
    let asked = asked(input)
    let ids = input.ids.enumerated().map { row, id in asked.contains(row) ? 5 + (id + number) % 50 : id }
    return try model.input(ids: ids, pixels: input.pixels, layout: input.segments.layout)
  }

  private func features(_ model: VisionLanguageModel, _ input: ModelInput) -> Work {
    let rows = input.segments.segments.filter { $0.kind == .image }.flatMap(\.rows)
    var program = Program()
    program.add(
      Op(.capture(reading: 0), rows: rows, plugin: Program.reader),
      at: HookPoint(.text, model.configuration.text.layers / 2, .residPost))
    let request = LaneRequest(program, outputRows: [])
    let images = some(0..<4).map { number in
      let pixels = input.pixels.copy()
      for i in 0..<pixels.count { pixels.base[i] *= 1 - Float(number) / 8 }
      return pixels
    }
    return work(model, images.count) {
      try images.map { pixels in
        let input = try model.input(ids: input.ids, pixels: pixels, layout: input.segments.layout)
        let all = try model.sweep(input, [request])[0].results.captures[0].tensor
        return Tensor(Array(all.values.suffix(all.shape[1])), shape: [all.shape[1]])
      }[0]
    }
  }

  private func edit(
    _ operation: EditRequest.Operation, _ layer: Int, tower: String = "text", site: Site = .z, head: Int? = nil,
    rows: String, from item: String? = nil
  ) -> AttachmentSpec {
    edit(operation, "\(layer)", tower: tower, site: site, head: head, rows: rows, from: item)
  }

  private func edit(
    _ operation: EditRequest.Operation, _ layers: String, tower: String = "text", site: Site = .z, head: Int? = nil,
    rows: String, from item: String? = nil, keepSelf: Bool = false
  ) -> AttachmentSpec {
    let request = EditRequest(
      operation: operation, tower: tower, site: operation.isEdge ? nil : site.rawValue, layers: .selector(layers),
      heads: head.map { [$0] }, queries: .selector(rows), keys: .selector("image"), value: 0, vector: nil,
      sourceCondition: item.map { _ in "clean" }, sourceItem: item, keepSelf: keepSelf, onEmpty: .itself)
    return .edit(ManifestEdit(name: "\(operation)", request: request, place: "bench"))
  }

  private func item(_ input: ModelInput) -> Item { Item(id: "bench", index: 0, input: input) }
  private func wish(_ input: ModelInput) -> Session.Wish { Session.Wish(outputRows: [input.ids.count - 1]) }

  /// The first condition's logits.
  private func run(_ session: Session, _ input: ModelInput, _ conditions: [String]) throws -> Tensor {
    let outcomes = try session.run(item(input), conditions: conditions, wish(input))
    for outcome in outcomes {
      if let failure = outcome.failure {
        throw PluginError.failed(plugin: failure.plugin, at: failure.point, reason: failure.reason)
      }
    }
    let logits = outcomes.first { $0.condition == conditions[0] }?.output.logits ?? Tensor(zeros: [0])
    return Tensor(logits.values, shape: [logits.count])
  }
}

extension BenchWorkload {
  /// Times the whole workload on one example against the clean pass, by turns, and prints medians.
  func measure(_ model: VisionLanguageModel, _ input: ModelInput, repeats: Int) throws {
    let clean = try Session(model, conditions: [(name: "clean", steps: [])], probes: [], seed: 0, reuse: false)
    let work = try work(model, input)
    var times: [(clean: Double, work: Double)] = []
    for _ in 0...repeats {  // the first round compiles kernels and does not count
      model.forget()
      times.append((try seconds { _ = try run(clean, input, ["clean"]) }, try seconds(work)))
    }
    let ratios = times.dropFirst().map { $0.work / $0.clean }.sorted()
    let (passes, middle) = (times.dropFirst().map(\.clean).sorted(), ratios.count / 2)
    print("\(kind.rawValue): \(work.count) parts, \(engineThreads) threads")
    let share = work.share.map { String(format: ", %.2f by its multiply-adds", $0) } ?? ""
    print(
      String(
        format: "clean %.1f ms; the workload %.2f clean passes (%.2f to %.2f)%@; a pass each: %.1f x",
        passes[middle] * 1e3, ratios[middle], ratios[0], ratios[ratios.count - 1], share,
        Double(work.count) / ratios[middle]))
  }

  /// Of one round, plans and plugins included.
  func milliseconds(_ model: VisionLanguageModel, _ input: ModelInput) throws -> Double {
    try seconds(work(model, input)) * 1e3
  }

  private func seconds(_ work: Work) throws -> Double {
    try work.prepare()
    return try seconds { _ = try work.run() }
  }

  private func seconds(_ body: () throws -> Void) throws -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start) / .seconds(1)
  }
}
