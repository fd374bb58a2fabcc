import Models
import PluginRuntime

/// What one plugin or edit did in one trial: no silent no-op.
package struct PluginReceipt: Sendable, Equatable {
  package let plugin: String
  /// The hook points that matched, as a pattern.
  package let points: String
  /// In hook point x step x lane, so that reuse does not change them.
  package let visitsPlanned: Int
  package let visitsMade: Int
  package let rowsChanged: Int
  /// Entries of activations whose bits changed; for edges, visible edges x heads.
  package let elementsChanged: Int
  /// Largest |after - before|; infinite for dropped edges, whose scores become minus infinity; NaN where it is not measured.
  package let largestChange: Double
  /// Whether anything that the trial reads depends on what was written.
  package let reachable: Bool
  /// It asked for something, and none of it exists in this item.
  package let notApplicable: Bool
  package let note: Note?
}

extension LaneEnd {
  /// One receipt per attachment, probes included.
  func receipts() -> [PluginReceipt] { attachments.indices.map(receipt) }

  private func receipt(_ index: Int) -> PluginReceipt {
    let attachment = attachments[index]
    if case .image = attachment.kind { return imageReceipt(attachment) }
    let footprint = resolver.footprints[index]
    let done = output.results.receipts[index] ?? [:]
    let edges = program.edges.compactMap { point, mask in mask.counts[index].map { (point, $0) } }
    let changed = done.values.reduce(0) { $0 + $1.changed } + edges.reduce(0) { $0 + $1.1.edges }
    let isProbe = attachment.isProbe
    let reachable = isProbe || footprint.writes.isEmpty || footprint.writes.contains { reaches($0.key, $0.value) }
    return PluginReceipt(
      plugin: attachment.name, points: pattern(footprint.points),
      visitsPlanned: plannedVisits(index) + edges.count,
      visitsMade: done.values.reduce(0) { $0 + $1.visits } + edges.count,
      rowsChanged: changed == 0
        ? 0 : done.values.reduce(0) { $0 + ($1.changed > 0 ? $1.rows : 0) } + edges.reduce(0) { $0 + $1.1.rows },
      elementsChanged: changed,
      largestChange: edges.contains { $0.1.edges > 0 }
        ? largestEdgeChange(footprint.plan.edits) : Double(done.values.map(\.largest).max() ?? 0),
      reachable: reachable, notApplicable: footprint.asked && !footprint.matched,
      note: note(attachment, index, footprint, changed: changed, reachable: reachable))
  }

  /// The image was put in before the pass: its one visit is the whole picture.
  private func imageReceipt(_ attachment: Attachment) -> PluginReceipt {
    PluginReceipt(
      plugin: attachment.name, points: "pixels", visitsPlanned: 1, visitsMade: 1, rowsChanged: 0,
      elementsChanged: pixelsChanged, largestChange: .nan, reachable: true, notApplicable: false,
      note: pixelsChanged == 0 ? Note(.warning, "changed nothing") : nil)
  }

  /// Minus infinity for dropped edges, the bias for biased ones; how much pattern a zeroed edge had is not measured.
  private func largestEdgeChange(_ edits: [EditRequest]) -> Double {
    edits.map { edit in
      switch edit.operation {
      case .edgeDrop, .edgeKeepOnly: .infinity
      case .edgeBias: abs(edit.value)
      default: .nan
      }
    }.max() ?? .nan
  }

  private func note(
    _ attachment: Attachment, _ index: Int, _ footprint: Resolver.Footprint, changed: Int, reachable: Bool
  ) -> Note? {
    let seen = resolver.items[index]
    if footprint.asked && !footprint.matched { return seen.note ?? Note(.warning, "matched nothing in this item") }
    if attachment.isProbe {
      guard let unranked = unranked(footprint.plan, seen) else { return seen.note }
      return Note(.omission, [seen.note?.text, unranked].compactMap(\.self).joined(separator: "; "))
    }
    if !reachable { return Note(.warning, "cannot affect anything that this trial reads") }
    if changed == 0 && !attachment.expectsNoChange && output.failure == nil { return Note(.warning, "changed nothing") }
    return writers(after: attachment).map { Note(.warning, $0) }
  }

  /// Labels that the vocabulary cannot say as the lens wants them are named, not dropped in silence.
  private func unranked(_ plan: PlanRequest, _ item: Item) -> String? {
    let lenses = plan.readings.filter { $0.operation == .lens }
    let words = Set(item.labels.filter { label in lenses.contains { label.spellings($0).isEmpty } }.map(\.text))
      .sorted()
    return words.isEmpty ? nil : "does not rank what is not one token: " + words.joined(separator: ", ")
  }

  /// Two writers of a slice need an order: the condition's, which is said here.
  private func writers(after attachment: Attachment) -> String? {
    guard let index = attachments.firstIndex(where: { $0 === attachment }) else { return nil }
    let mine = resolver.footprints[index].writes
    let earlier = (0..<index).filter { other in
      resolver.footprints[other].writes.contains { point, rows in !(mine[point] ?? []).isDisjoint(with: rows) }
    }
    if earlier.isEmpty { return nil }
    return "writes after " + earlier.map { attachments[$0].name }.joined(separator: ", ") + " at the same rows"
  }

  /// Visits that the program plans, for the steps that ran.
  private func plannedVisits(_ index: Int) -> Int {
    let input = item.input
    let prefill = input.ids.count + max(0, input.forced.count - 1)
    return program.ops.reduce(0) { sum, entry in
      let (point, ops) = entry
      return sum + ops.filter { $0.plugin == index }.reduce(0) { $0 + visits(of: $1, at: point, prefill: prefill) }
    }
  }

  private func visits(of op: Op, at point: HookPoint, prefill: Int) -> Int {
    guard point.tower == .text else { return op.visits(in: point.tower, item.input.segments.layout) }
    let rows = Set(op.rows)
    let readOut = point.site == .finalNorm || point.site == .logits
    let first = readOut ? !rows.isDisjoint(with: output.rows) : op.rows.contains { $0 < prefill }
    let last = item.input.ids.count - 1
    let decoded = output.steps == 0 ? 0 : (1...output.steps).count { rows.contains(last + $0) }
    return (first ? 1 : 0) + decoded
  }

  // MARK: reachability

  /// Whether a write at `point` to `rows` can change what the trial reads. Errs on the side of yes.
  private func reaches(_ point: HookPoint, _ rows: Set<Row>) -> Bool {
    switch point.tower {
    case .projector: return true
    case .vision:
      // The last layer's CLS rows are dropped, unless the projector takes them.
      let tileRows = item.input.segments.layout.tileRows
      let isLast = point.layer == resolver.model.hooks.visionLayers - 1
      return !isLast || resolver.model.hasClassRow || point.feedsOtherRows || rows.contains { $0 % tileRows != 0 }
        || !rows.isDisjoint(with: readRows(.vision, from: point.layer ?? 0))
    case .text:
      let generated = item.input.ids.count..<(item.input.ids.count + output.steps)
      let readOut = Set(output.rows).union(generated)
      if point.layer == nil && point.site != .embed { return !rows.isDisjoint(with: readOut) }
      let isLast = point.layer == resolver.model.hooks.textLayers - 1
      let read = readRows(.text, from: point.layer ?? 0).union(readOut)
      if isLast && !point.feedsOtherRows { return !rows.isDisjoint(with: read) }
      return read.contains { row in rows.contains { $0 <= row } }
    }
  }

  /// Rows that captures, readings and probes read at `layer` or later.
  private func readRows(_ tower: Tower, from layer: Int) -> Set<Row> {
    let later = program.ops.filter { $0.key.tower == tower && ($0.key.layer ?? Int.max) >= layer }
    return Set(later.values.joined().filter(isReading).flatMap(\.rows))
  }

  private func isReading(_ op: Op) -> Bool {
    switch op.action {
    case .capture, .mass: true
    case .call: attachments.indices.contains(op.plugin) && attachments[op.plugin].isProbe
    case .scale, .set, .add, .patch: false
    }
  }

  /// `text.0-3.z, vision.1.pattern`
  private func pattern(_ points: Set<HookPoint>) -> String {
    let places = Dictionary(grouping: points) { "\($0.tower.rawValue).*.\($0.site.rawValue)" }
    return places.sorted { $0.key < $1.key }.map { key, points in
      let layers = points.compactMap(\.layer).sorted()
      guard let first = layers.first, let last = layers.last else { return key.replacing("*.", with: "") }
      if layers.count == last - first + 1 {
        return key.replacing("*", with: first == last ? "\(first)" : "\(first)-\(last)")
      }
      return key.replacing("*", with: layers.map(String.init).joined(separator: ","))
    }.joined(separator: ", ")
  }
}

extension HookPoint {
  /// What is written here is read by other rows of the same layer, through keys and values.
  fileprivate var feedsOtherRows: Bool { [.residPre, .k, .v, .rotK].contains(site) }
}
