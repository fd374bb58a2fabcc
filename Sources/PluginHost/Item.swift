import Models
import PluginRuntime

/// One example as conditions and probes see it: the model's input, with the words to look for and where.
package struct Item: Sendable {
  package let id: String
  package let index: Int
  package let input: ModelInput
  /// Numbers of patches (row-major, through the tiles) and the covered share of each, by name.
  package let masks: [String: [(patch: Int, coverage: Float)]]
  /// Words to look for; a label and a mask of one name belong together.
  package let labels: [ItemFacts.Label]
  /// The whole image's box in source pixels: left, top, right, bottom of the patch grid.
  package let box: SIMD4<Float>
  package let meta: String
  /// Patches that no part touches with a pixel; nil: not known.
  package let background: [Int]?
  /// The words that the dataset looks for, for controls.
  package let words: [WordCount]
  /// What a control could not match, or read instead.
  let note: Note?

  package init(
    id: String, index: Int, input: ModelInput, masks: [String: [(patch: Int, coverage: Float)]] = [:],
    labels: [ItemFacts.Label] = [], box: SIMD4<Float> = .zero, meta: String = "{}", background: [Int]? = nil,
    words: [WordCount] = [], note: Note? = nil
  ) {
    (self.id, self.index, self.input, self.masks) = (id, index, input, masks)
    (self.labels, self.box, self.meta) = (labels, box, meta)
    (self.background, self.words, self.note) = (background, words, note)
  }

  func replacing(
    input: ModelInput? = nil, masks: [String: [(patch: Int, coverage: Float)]]? = nil,
    labels: [ItemFacts.Label]? = nil, note: Note? = nil
  ) -> Item {
    Item(
      id: id, index: index, input: input ?? self.input, masks: masks ?? self.masks, labels: labels ?? self.labels,
      box: box,
      meta: meta, background: background, words: words, note: note)
  }

  private var patchesByMask: [String: [Int]] { masks.mapValues { $0.map(\.patch) } }

  func rows(of tower: Tower) -> TowerRows {
    switch tower {
    case .vision: .vision(input.segments.layout, masks: patchesByMask)
    case .projector: .projector(input.segments, masks: patchesByMask)
    case .text: .text(input.segments, masks: patchesByMask)
    }
  }

  package func rows(of tokens: TokenRequest, in tower: Tower) throws(ModelError) -> [Row] {
    let rows = rows(of: tower)
    switch tokens {
    case .selector(let text): return try TokenSelector(text).resolve(rows)
    case .rows(let list):
      guard let bad = list.first(where: { !(0..<rows.count).contains($0) }) else { return Set(list).sorted() }
      throw .selector(
        "\(bad)", problem: "beyond the \(tower.rawValue) tower's rows: there are \(rows.count)",
        remedy: "rows run from 0 to \(rows.count - 1)")
    }
  }

  /// As the ABI tells it to a plugin.
  func facts(condition: String) -> ItemFacts {
    var facts = ItemFacts()
    (facts.index, facts.id, facts.condition, facts.meta) = (index, id, condition, meta)
    facts.tokens = input.ids.map(Int32.init)
    facts.segments = input.segments.segments.flatMap { segment in
      segment.kind == .image
        ? parts(of: segment) : [ItemFacts.Segment(segment.kind.fact, first: segment.first, count: segment.count)]
    }
    facts.labels = labels
    let first = input.segments.segments.first { $0.kind == .image }?.first ?? 0
    let tokens = input.segments.layout.tokenOfPatch
    facts.masks = masks.sorted { $0.key < $1.key }.map { name, patches in
      let rows = patches.compactMap { patch in tokens[patch.patch].map { (row: Int32(first + $0), patch.coverage) } }
      return ItemFacts.Mask(name: name, rows: rows.map(\.row), coverage: rows.map(\.1))
    }
    return facts
  }

  /// An image in one tile is one segment; else tile 0 is the base, and tile 1 the grid of all others with a newline behind each row.
  private func parts(of image: SegmentMap.Segment) -> [ItemFacts.Segment] {
    func part(_ tile: Int, first: Int, count: Int, _ grid: PatchGrid) -> ItemFacts.Segment {
      var part = ItemFacts.Segment(.image, first: first, count: count)
      (part.image, part.tile, part.rows, part.cols, part.box) = (image.image ?? 0, tile, grid.rows, grid.cols, box)
      return part
    }
    let layout = input.segments.layout
    guard let base = layout.baseTokens else { return [part(0, first: image.first, count: image.count, layout.grid)] }
    return [
      part(0, first: image.first, count: base.count, layout.tileGrid),
      part(1, first: image.first + base.count, count: image.count - base.count, layout.grid),
    ]
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
