import Tensors

/// One example's text tower without any intervention, kept for lanes of other conditions: they read its keys, values and residual
/// stream, and leave them as they were.
package struct CleanPass {
  package let input: ModelInput
  /// Token embeddings with the projected image rows, [rows, width]: what goes into layer 0.
  let embedded: Tensor
  let store: PassStore

  /// Rows of the prompt and of the forced ids.
  package var length: Int { embedded.shape[0] }
}

extension VisionLanguageModel {
  /// Runs vision tower, projector and text tower without interventions and keeps what `run(_:borrowing:visitor:)` needs.
  package func cleanPass(_ input: ModelInput) throws(ModelError) -> CleanPass {
    let image = try imageRows(input, [LaneRequest(Program(), outputRows: [])], visitor: nil)
    let ids = input.ids + input.forced.dropLast()
    let shape = text.transformer.shape
    let x = Tensor(zeros: [ids.count, shape.width])
    splice(ids, image.x.base, into: x.base)
    let embedded = Tensor(zeros: x.shape)
    embedded.base.update(from: x.base, count: x.count)
    let store = PassStore(shape, layers: shape.layers, capacity: input.segments.length, keepsResiduals: true)
    let lane = Lane(Program(), store: store, records: true, rows: Array(ids.indices))
    _ = try decode(Packed(lanes: [lane], x: x), step: 0, visitor: nil)
    return CleanPass(input: input, embedded: embedded, store: store)
  }

  /// Runs lanes that borrow a clean pass through the text tower, each with only the rows that can differ from it or are read, and
  /// reads out their logits. Where the kernels are row-invariant, every bit is that of the lane's own full pass.
  ///
  /// - Parameter requests: conditions that leave vision tower and projector alone; others are refused.
  package func run(
    _ requests: [LaneRequest], borrowing clean: CleanPass, visitor: (any HookVisitor)? = nil
  ) throws(ModelError) -> [LaneOutput] {
    guard !requests.contains(where: \.program.touchesImage) else {
      throw .input(
        place: "borrowing pass", problem: "a condition changes or reads the image's way into the text tower",
        remedy: "run it as a full pass")
    }
    let width = text.transformer.shape.width
    var lanes = requests.map { request in
      let rows = request.rowsByLayer(clean, layers: text.transformer.shape.layers)
      return Lane(request.program, store: clean.store, records: false, rows: rows.first ?? [], rowsByLayer: rows)
    }
    placeRows(&lanes)
    let x = Tensor(zeros: [lanes.reduce(0) { $0 + $1.rows.count }, width])
    for lane in lanes {
      for (n, row) in lane.rows.enumerated() {
        (x.base + (lane.first + n) * width).update(from: clean.embedded.base + row * width, count: width)
      }
    }
    var pack = try decode(Packed(lanes: lanes, x: x), step: 0, visitor: visitor)
    let logits = try readOut(&pack, rows: requests.map(\.outputRows), step: 0, visitor: visitor)
    return requests.indices.map { i in
      LaneOutput(
        results: pack.lanes[i].results, failure: pack.lanes[i].failure, logits: logits[i], rows: requests[i].outputRows)
    }
  }
}

extension LaneRequest {
  /// Rows to compute per layer; those that are read out are in the last layer, computed from the clean residual stream if need be.
  package func rowsByLayer(_ clean: CleanPass, layers: Int) -> [[Row]] {
    var rows = program.rowsToCompute(tower: .text, layers: layers, length: clean.length, causal: true)
    if let last = rows.indices.last { rows[last] = Set(rows[last] + outputRows).sorted() }
    return rows.map { $0.filter { $0 < clean.length } }
  }
}
