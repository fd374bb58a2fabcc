import Models
import PluginRuntime

/// One example as conditions and probes see it: the model's input, with the words to look for and where.
package struct Item: Sendable {
  package let id: String
  package let index: Int
  package let input: ModelInput
  /// Patch indices (row-major) and the covered share of each, by name.
  package let masks: [String: [(patch: Int, coverage: Float)]]
  /// Words to look for; a label and a mask of one name belong together.
  package let labels: [ItemFacts.Label]
  /// The whole image's box in source pixels: left, top, right, bottom of the patch grid.
  package let box: SIMD4<Float>
  package let meta: String

  package init(
    id: String, index: Int, input: ModelInput, masks: [String: [(patch: Int, coverage: Float)]] = [:],
    labels: [ItemFacts.Label] = [], box: SIMD4<Float> = .zero, meta: String = "{}"
  ) {
    (self.id, self.index, self.input, self.masks) = (id, index, input, masks)
    (self.labels, self.box, self.meta) = (labels, box, meta)
  }

  private var patchesByMask: [String: [Int]] { masks.mapValues { $0.map(\.patch) } }

  func rows(of tower: Tower) -> TowerRows {
    switch tower {
    case .vision: .vision(grid: input.segments.grid, masks: patchesByMask)
    case .projector: .projector(input.segments, masks: patchesByMask)
    case .text: .text(input.segments, masks: patchesByMask)
    }
  }

  /// As the ABI tells it to a plugin.
  func facts(condition: String) -> ItemFacts {
    var facts = ItemFacts()
    (facts.index, facts.id, facts.condition, facts.meta) = (index, id, condition, meta)
    facts.tokens = input.ids.map(Int32.init)
    facts.segments = input.segments.segments.map { segment in
      var copy = ItemFacts.Segment(segment.kind.fact, first: segment.first, count: segment.count)
      if segment.kind == .image {
        (copy.image, copy.rows, copy.cols) = (segment.image ?? 0, input.segments.grid.rows, input.segments.grid.cols)
        copy.box = box
      }
      return copy
    }
    facts.labels = labels
    let image = input.segments.segments.first { $0.kind == .image }
    let firstPatch = (image?.first ?? 0) + (input.segments.hasClassRow ? 1 : 0)
    facts.masks = masks.sorted { $0.key < $1.key }.map { name, patches in
      ItemFacts.Mask(
        name: name, rows: patches.map { Int32($0.patch + firstPatch) }, coverage: patches.map(\.coverage))
    }
    return facts
  }
}

extension SegmentMap.Kind {
  fileprivate var fact: ItemFacts.SegmentKind {
    switch self {
    case .prefix: .prefix
    case .image: .image
    case .question: .question
    case .generated: .generated
    }
  }
}
