import Models
import PluginRuntime

/// Translates what plugins ask for into the plain values of a program, for one item under one condition.
struct Resolver {
  let model: VisionLanguageModel
  /// Per attachment: the item as it sees it.
  let items: [Item]
  var program = Program()
  /// Per attachment: what was resolved.
  private(set) var footprints: [Footprint]
  /// Readings in the order in which they were asked for; ops carry their index.
  private(set) var readings: [ResolvedReading] = []
  /// What patches read of other runs; ops carry their index.
  private(set) var sources: [PatchSource] = []
  private var rules: [HookPoint: [EdgeRule]] = [:]
  private let origins: [PatchOrigin?]

  /// What one attachment touches on this item.
  struct Footprint {
    var points: Set<HookPoint> = []
    var writes: [HookPoint: Set<Row>] = [:]
    /// Something was asked for.
    var asked = false
    /// Something had rows.
    var matched = false
    var plan = PlanRequest()
  }

  struct ResolvedReading {
    let attachment: Int
    /// Index in the attachment's plan.
    let index: Int
    let request: ReadingRequest
  }

  /// - Parameter items: the item as each of the attachments sees it.
  init(
    _ model: VisionLanguageModel, _ items: [Item], _ attachments: [Attachment], condition: String
  ) throws(HostError) {
    (self.model, self.items) = (model, items)
    origins = attachments.map(\.origin)
    footprints = attachments.map { _ in Footprint() }
    for (index, attachment) in attachments.enumerated() {
      let plan: PlanRequest
      do { plan = try attachment.plan(items[index], condition: condition) } catch { throw .plugin(error) }
      do { try add(attachment, plan, index) } catch {
        throw .request(attachment: attachment.place, item: items[index].id, error)
      }
    }
    do { try compileEdges() } catch { throw .request(attachment: condition, item: items.first?.id ?? "", error) }
  }

  private mutating func add(_ attachment: Attachment, _ plan: PlanRequest, _ index: Int) throws(ModelError) {
    footprints[index].plan = plan
    for edit in plan.edits where edit.operation == .sitePatch { try checkOrigin(edit, attachment) }
    switch attachment.kind {
    case .edit(let edit):
      footprints[index].asked = true
      try add(edit.request, index)
    case .image: break
    case .plugin:
      // A plan made for this item that asks for nothing has found nothing to ask for.
      footprints[index].asked = plan.perItem || !(plan.edits.isEmpty && plan.accesses.isEmpty && plan.readings.isEmpty)
      for edit in plan.edits { try add(edit, index) }
      for (number, access) in plan.accesses.enumerated() { try add(access, number, index) }
      for (number, reading) in plan.readings.enumerated() { try add(reading, number, index) }
    }
  }

  // MARK: accesses

  private mutating func add(_ access: AccessRequest, _ number: Int, _ index: Int) throws(ModelError) {
    let writes = access.access.contains(.write)
    for point in try points(access.tower, access.site, access.layers) {
      let rows = try items[index].rows(of: access.tokens, in: point.tower)
      try checkHeads(access.heads, point)
      note(index, point, rows, writes: writes)
      program.add(Op(.call(access: number, writes: writes), rows: rows, heads: access.heads, plugin: index), at: point)
    }
  }

  // MARK: edits

  private mutating func add(_ edit: EditRequest, _ index: Int) throws(ModelError) {
    if edit.operation.isEdge { return try addEdges(edit, index) }
    if edit.operation == .sitePatch { return try addPatch(edit, index) }
    for point in try points(edit.tower, edit.site ?? "", edit.layers) {
      let rows = try items[index].rows(of: edit.queries, in: point.tower)
      try checkHeads(edit.heads, point)
      let vector = try vector(edit, point)
      let action: Op.Action =
        switch edit.operation {
        case .siteScale: .scale(Float(edit.value))
        case .siteSet: .set(vector)
        default: .add(vector.map { $0 * Float(edit.value) })
        }
      note(index, point, rows, writes: true)
      program.add(Op(action, rows: rows, heads: edit.heads, plugin: index), at: point)
    }
  }

  private mutating func addPatch(_ edit: EditRequest, _ index: Int) throws(ModelError) {
    guard let origin = origins[index] else { return }
    for point in try points(edit.tower, edit.site ?? "", edit.layers) {
      let generated = point.tower == .text ? items[index].input.ids.count : Int.max
      let rows = try items[index].rows(of: edit.queries, in: point.tower).filter { $0 < generated }
      try checkHeads(edit.heads, point)
      var read = point
      if let layer = edit.sourceLayer, point.layer != nil {
        read.layer = try LayerSelector(first: layer, last: layer).resolve(model.hooks, tower: point.tower)[0]
      }
      note(index, point, rows, writes: true)
      program.add(Op(.patch(source: sources.count, nil), rows: rows, heads: edit.heads, plugin: index), at: point)
      sources.append(
        PatchSource(
          attachment: index, origin: origin, point: read, tokens: edit.queries, heads: edit.heads, count: rows.count))
    }
  }

  /// What a plugin patches from is said in the manifest, so that trial keys and the order of the conditions know it.
  private func checkOrigin(_ edit: EditRequest, _ attachment: Attachment) throws(ModelError) {
    guard let origin = attachment.origin else {
      throw .edit(
        place: "\(edit.tower).\(edit.site ?? "")",
        problem: "patches from another run, and its step does not say from which",
        remedy: "write from: { condition: NAME } beside the plugin")
    }
    let named = (edit.sourceCondition ?? origin.condition, edit.sourceItem ?? origin.item)
    guard named == (origin.condition, origin.item) else {
      throw .edit(
        place: "\(edit.tower).\(edit.site ?? "")",
        problem: "patches from condition '\(named.0)', item '\(named.1 ?? "the same")', and its step names another run",
        remedy: "write from: { condition: \(named.0) } beside the plugin")
    }
  }

  private mutating func addEdges(_ edit: EditRequest, _ index: Int) throws(ModelError) {
    let action: EdgeRule.Action =
      switch edit.operation {
      case .edgeKeepOnly: .keepOnly
      case .edgeBias: .bias(Float(edit.value))
      case .edgeZero: .zero
      default: .drop
      }
    let onEmpty: EdgeRule.OnEmpty =
      switch edit.onEmpty {
      case .error: .error
      case .itself: .attendSelf
      case .zero: .zero
      }
    for point in try points(edit.tower, Site.attnScores.rawValue, edit.layers) {
      let item = items[index]
      let queries = try item.rows(of: edit.queries, in: point.tower)
      let keys = try item.rows(of: edit.keys, in: point.tower)
      if queries.isEmpty || (keys.isEmpty && action != .keepOnly) { continue }
      note(index, point, queries, writes: true)
      rules[point, default: []].append(
        EdgeRule(
          action, heads: edit.heads, queries: queries, keys: keys, keepSelf: edit.keepSelf, onEmpty: onEmpty,
          plugin: index))
    }
  }

  /// Layers with the same rules share one compiled mask.
  private mutating func compileEdges() throws(ModelError) {
    var compiled: [(rules: [EdgeRule], tower: Tower, mask: EdgeMask)] = []
    for (point, rules) in rules.sorted(by: {
      ($0.key.tower.rawValue, $0.key.layer ?? 0) < ($1.key.tower.rawValue, $1.key.layer ?? 0)
    }) {
      if let known = compiled.first(where: { $0.tower == point.tower && $0.rules.elementsEqual(rules, by: ==) }) {
        program.edges[point] = known.mask
        continue
      }
      let isText = point.tower == .text
      guard let item = items.first else { continue }
      let mask = try EdgeMask(
        rules, heads: isText ? model.configuration.text.heads : model.configuration.vision.heads,
        length: isText ? item.input.segments.length : item.input.segments.layout.tileRows, causal: isText,
        place: "\(point)")
      compiled.append((rules, point.tower, mask))
      program.edges[point] = mask
    }
  }

  // MARK: readings

  private mutating func add(_ reading: ReadingRequest, _ number: Int, _ index: Int) throws(ModelError) {
    for point in try points(reading.tower, reading.site, reading.layers) {
      try check(reading, at: point)
      let rows = try rows(of: reading, in: point.tower, items[index])
      note(index, point, rows, writes: false)
      guard !rows.isEmpty else { continue }
      let id = readings.count
      readings.append(ResolvedReading(attachment: index, index: number, request: reading))
      let action: Op.Action =
        reading.operation == .mass
        ? .mass(reading: id, keys: try items[index].rows(of: .selector(reading.keys), in: point.tower))
        : .capture(reading: id)
      program.add(Op(action, rows: rows, plugin: index), at: point)
    }
  }

  private func check(_ reading: ReadingRequest, at point: HookPoint) throws(ModelError) {
    switch reading.operation {
    case .lens where !point.isLensSite:
      throw .hookPoint(
        "\(point)", problem: "the lens cannot read here",
        remedy: "the lens reads text resid_* sites and projector.out")
    case .mass where point.site != .pattern:
      throw .hookPoint("\(point)", problem: "attention mass is read at 'pattern'", remedy: "site: pattern")
    case .capture where point.site.axes == .headsRowsKeys:
      throw .hookPoint(
        "\(point)", problem: "the rows of a pattern are of different lengths, so that nothing can be learned from them",
        remedy: "take z or resid_post")
    default: break
    }
  }

  /// Those of a capture: of all its labels, in the order of the tower.
  private func rows(of reading: ReadingRequest, in tower: Tower, _ item: Item) throws(ModelError) -> [Row] {
    guard reading.operation == .capture else { return try item.rows(of: .selector(reading.tokens ?? "all"), in: tower) }
    var rows: Set<Row> = []
    for label in item.labels where label.belongs(to: reading.labels) {
      rows.formUnion(try item.rows(of: reading.tokens(of: label), in: tower))
    }
    return rows.sorted()
  }

  // MARK: what the model has

  private func points(_ tower: String, _ site: String, _ layers: LayerRequest) throws(ModelError) -> [HookPoint] {
    let text = "\(tower).\(site)"
    let tower = try model.hooks.tower(tower, in: text)
    let site = try model.hooks.site(site, in: text)
    if Site.outsideLayers(of: tower).contains(site) { return [HookPoint(tower, nil, site)] }
    return try layers.selector().resolve(model.hooks, tower: tower).map { layer throws(ModelError) in
      try model.hooks.point(tower, layer, site, in: text)
    }
  }

  private func checkHeads(_ heads: [Int]?, _ point: HookPoint) throws(ModelError) {
    guard let heads else { return }
    let count = model.heads(at: point)
    if let bad = heads.first(where: { !(0..<count).contains($0) }) {
      throw .edit(
        place: "\(point)", problem: count == 0 ? "the site has no heads" : "head \(bad) does not exist",
        remedy: count == 0 ? "leave heads out" : "heads run from 0 to \(count - 1)")
    }
  }

  /// The values of `set` and `add`, of a length that fits the site: one, a head's width, or a whole row.
  private func vector(_ edit: EditRequest, _ point: HookPoint) throws(ModelError) -> [Float] {
    guard edit.operation != .siteScale else { return [] }
    let values = try edit.vectors?.vector(at: point, of: model) ?? edit.vector?.values ?? [Float(edit.value)]
    let width = model.width(at: point)
    let heads = edit.heads?.count ?? model.heads(at: point)
    let fitting = [1, width] + (heads > 0 && point.site.axes != .headsRowsKeys ? [heads * width] : [])
    guard fitting.contains(values.count), point.site.axes != .headsRowsKeys || values.count == 1 else {
      throw .edit(
        place: "\(point)", problem: "the vector has \(values.count) entries", remedy: "it needs one of \(fitting)")
    }
    return values
  }

  private mutating func note(_ index: Int, _ point: HookPoint, _ rows: [Row], writes: Bool) {
    guard !rows.isEmpty else { return }
    footprints[index].matched = true
    footprints[index].points.insert(point)
    if writes { footprints[index].writes[point, default: []].formUnion(rows) }
  }
}

extension PointVectors {
  fileprivate func vector(at point: HookPoint, of model: VisionLanguageModel) throws(ModelError) -> [Float] {
    guard modelDigest == model.digest else {
      throw .edit(
        place: path, problem: "the vectors were taken from another model than \(model.name)",
        remedy: "make them again: ablate mean --model \(model.name) ...")
    }
    guard let vector = byPoint["\(point)"] else {
      throw .edit(
        place: path, problem: "has no vector for \(point)",
        remedy: "it has " + byPoint.keys.sorted().joined(separator: ", "))
    }
    return vector
  }
}

extension LayerRequest {
  fileprivate func selector() throws(ModelError) -> LayerSelector {
    switch self {
    case .range(let first, let last): LayerSelector(first: first, last: last)
    case .selector(let text): try LayerSelector(text)
    }
  }
}

extension HookPoint {
  /// Where hidden states have the width of the text tower's residual stream.
  var isLensSite: Bool {
    switch tower {
    case .projector: site == .out
    case .text: [.embed, .residPre, .residMid, .residPost].contains(site)
    case .vision: false
    }
  }
}

extension EdgeRule {
  fileprivate static func == (a: EdgeRule, b: EdgeRule) -> Bool {
    a.action == b.action && a.heads == b.heads && a.queries == b.queries && a.keys == b.keys && a.keepSelf == b.keepSelf
      && a.onEmpty == b.onEmpty && a.plugin == b.plugin
  }
}

extension VisionLanguageModel {
  /// Entries of one row (of one head, where the site has heads) at a hook point.
  func width(at point: HookPoint) -> Int {
    let (c, isText) = (configuration, point.tower == .text)
    switch point.site {
    case .q, .k, .v, .rotQ, .rotK, .z: return isText ? c.text.headWidth : c.vision.width / c.vision.heads
    case .mlpPre, .mlpPost: return isText ? c.text.mlpWidth : c.vision.mlpWidth
    case .logits: return c.text.vocabulary
    case .in: return c.projectorInputs
    case .mid, .out: return c.text.width
    default: return isText ? c.text.width : c.vision.width
    }
  }
}
