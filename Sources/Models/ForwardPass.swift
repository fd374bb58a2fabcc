import Checkpoints
import Tensors

/// One lane asked of a forward pass.
package struct LaneRequest {
  package let program: Program
  /// Rows of the prompt (and forced ids) whose logits are wanted, sorted.
  package let outputRows: [Row]

  package init(_ program: Program, outputRows: [Row]) {
    self.program = program
    self.outputRows = outputRows
  }
}

/// What a lane of a forward pass gives.
package struct LaneOutput {
  package var results = LaneResults()
  package var failure: LaneFailure?
  /// [outputRows, vocabulary]; empty for a failed lane.
  package var logits: Tensor
  package var rows: [Row]
  /// Greedy continuation; the end-of-sequence id is not part of it.
  package var generated: [Int] = []
  /// Decoding steps that ran.
  package var steps = 0

  package init(results: LaneResults = LaneResults(), failure: LaneFailure? = nil, logits: Tensor, rows: [Row]) {
    (self.results, self.failure, self.logits, self.rows) = (results, failure, logits, rows)
  }
}

extension VisionLanguageModel {
  /// Runs one example under several conditions in one pack, every row of every condition: vision tower, projector, splice, text tower,
  /// logits, generation. `sweep` gives the same without what need not be computed.
  package func run(
    _ input: ModelInput, _ requests: [LaneRequest], visitor: (any HookVisitor)? = nil
  ) throws(ModelError) -> [LaneOutput] {
    work.full += requests.count * layerMultiplyAdds(input)
    forget()
    let image = try imageRows(input, Array(requests.indices), of: requests, nil, visitor: visitor)
    let rows = Array(0..<input.prefill)
    let lanes = requests.enumerated().map { id, request in
      Lane(request.program, id: id, store: textStore(input), rows: rows).taking(over: image[id])
    }
    return try readText(input, lanes, requests, image, visitor: visitor)
  }

  func textStore(_ input: ModelInput, keepsResiduals: Bool = false) -> PassStore {
    PassStore(
      text.transformer.shape, rows: input.prefill, capacity: input.segments.length, keepsResiduals: keepsResiduals)
  }

  /// One pack through the text tower to its logits and generated tokens. `image` has the lanes that do something before it.
  func readText(
    _ input: ModelInput, _ lanes: [Lane], _ requests: [LaneRequest], _ image: Packed, visitor: (any HookVisitor)?
  ) throws(ModelError) -> [LaneOutput] {
    var prefill = try prefill(input, lanes, image, visitor: visitor)
    let wanted = lanes.map { requests[$0.id].outputRows }
    let logits = try readOut(&prefill, rows: wanted, step: 0, visitor: visitor)
    var outputs = zip(wanted, logits).map { LaneOutput(logits: $1, rows: $0) }
    if input.newTokens > 0 { try generate(input, &prefill.lanes, &outputs, visitor: visitor) }
    for (i, lane) in prefill.lanes.enumerated() {
      outputs[i].results = lane.results
      outputs[i].failure = lane.failure
    }
    return outputs
  }

  /// Lanes in a pack and the pack [rows of all lanes, width].
  struct Packed {
    var lanes: [Lane]
    var x: Tensor

    /// The lane of a request.
    subscript(id: Int) -> Lane? { lanes.first { $0.id == id } }
  }

  // MARK: image

  /// The projector's output, [projector rows, text width], one lane for each of `programs` again.
  ///
  /// - Parameter lanes: the programs' tiles, in their order.
  func imageRows(
    _ input: ModelInput, _ lanes: [Lane], of programs: [Program], visitor: (any HookVisitor)?
  ) throws(ModelError) -> Packed {
    if lanes.isEmpty { return Packed(lanes: [], x: Tensor(zeros: [0, projector.outputs])) }
    let (shape, layout) = (vision.transformer.shape, input.segments.layout)
    var lanes = lanes
    placeRows(&lanes)
    let embedded = try lifting { () throws(TensorError) in try embed(input) }
    let x = Tensor(zeros: [lanes.reduce(0) { $0 + $1.rows.count }, shape.width])
    for lane in lanes {
      for (n, row) in lane.rows.enumerated() {
        (x.base + (lane.first + n) * shape.width).update(
          from: embedded.base + (lane.firstRow + row) * shape.width, count: shape.width)
      }
    }
    var pass = TowerPass(
      vision.transformer, lanes: lanes, visitor: visitor, step: 0, engine: engine,
      work: workspace(vision.transformer, lanes))
    pass.hook(.embed, nil, x.base)
    let normed = Tensor(zeros: x.shape)
    vision.preNorm(x.base, rows: pass.count(.keyed), width: shape.width, into: normed.base)
    _ = try pass.run(normed, keeping: Set(configuration.visionHiddenStates))
    work.computed += pass.multiplyAdds
    let features = configuration.visionHiddenStates.compactMap { pass.kept[$0] }
    return try project(pass.lanes, features, programs, layout, visitor: visitor)
  }

  /// Patch, class and position embeddings of all tiles, [rows of the vision tower, width].
  private func embed(_ input: ModelInput) throws(TensorError) -> Tensor {
    let layout = input.segments.layout
    let perTile = input.pixels.count / layout.tiles
    let all = Tensor(zeros: [layout.visionRows, configuration.vision.width])
    for tile in 0..<layout.tiles {
      let one = try vision.embed(input.pixels.base + tile * perTile)
      (all.base + tile * one.count).update(from: one.base, count: one.count)
    }
    return all
  }

  /// Selects the rows that the configuration names, puts the features side by side and runs the projector over all lanes, of which there
  /// is one for a request again.
  private func project(
    _ passed: [Lane], _ features: [HiddenState], _ programs: [Program], _ layout: ImageLayout,
    visitor: (any HookVisitor)?
  ) throws(ModelError) -> Packed {
    let (width, perTile, skip) = (configuration.vision.width, layout.selectedRows, hasClassRow ? 0 : 1)
    var lanes = programs.indices.map { i in
      let tiles = Array(passed[i * layout.tiles..<(i + 1) * layout.tiles])
      let runs = tiles.allSatisfy { $0.failure == nil || $0.role == .clean }
      var lane = Lane(
        programs[i], id: tiles[0].id, store: tiles[0].store, role: tiles[0].role,
        rows: runs ? Array(0..<layout.projectorRows) : [])
      lane.failure = tiles.lazy.compactMap(\.failure).first
      lane.results = LaneResults(tiles: tiles)
      return lane
    }
    placeRows(&lanes)
    let rows = lanes.reduce(0) { $0 + $1.rows.count }
    let selected = Tensor(zeros: [rows, projector.inputs])
    for (i, lane) in lanes.enumerated() {
      for row in lane.rows {
        let (tile, place) = (i * layout.tiles + row / perTile, skip + row % perTile)
        for (n, feature) in features.enumerated() {
          guard let source = feature.row(place, of: tile, in: passed[tile].store) else { continue }
          (selected.base + (lane.first + row) * projector.inputs + n * width).update(from: source, count: width)
        }
      }
    }
    let out = try lifting { () throws(TensorError) in
      try projector.run(selected, rows: rows, &lanes, visitor: visitor)
    }
    return Packed(lanes: lanes, x: out)
  }

  // MARK: text

  /// Each lane's first rows: the clean pass's, or token embeddings with the lane's own image rows.
  private func prefill(
    _ input: ModelInput, _ lanes: [Lane], _ image: Packed, visitor: (any HookVisitor)?
  ) throws(ModelError) -> Packed {
    let width = text.transformer.shape.width
    let ids = input.ids + input.forced.dropLast()
    var lanes = lanes
    placeRows(&lanes)
    let x = Tensor(zeros: [lanes.reduce(0) { $0 + $1.rows.count }, width])
    let spliced = Tensor(zeros: [ids.count, width])
    for lane in lanes where !lane.rows.isEmpty {
      var source = spliced
      let passed = image[lane.id]
      if lane.role == .borrower, !lane.program.changesImage, let clean = lane.store.residuals?[0] {
        source = clean
      } else if let passed, !passed.rows.isEmpty {
        splice(ids, image.x.base + passed.first * width, input.segments.layout, into: spliced.base)
      } else {
        splice(ids, try cleanImage(input).rows.base, input.segments.layout, into: spliced.base)
      }
      for (n, row) in lane.rows.enumerated() {
        (x.base + (lane.first + n) * width).update(from: source.base + row * width, count: width)
      }
    }
    return try decode(Packed(lanes: lanes, x: x), step: 0, visitor: visitor)
  }

  /// The text tower over a pack of embedded rows.
  func decode(_ pack: Packed, step: Int, visitor: (any HookVisitor)?) throws(ModelError) -> Packed {
    var pass = TowerPass(
      text.transformer, lanes: pack.lanes, visitor: visitor, step: step, engine: engine,
      work: workspace(text.transformer, pack.lanes))
    pass.hook(.embed, nil, pack.x.base)
    let hidden = try pass.run(pack.x)
    work.computed += pass.multiplyAdds
    if step > 0 { work.full += pass.multiplyAdds }
    return Packed(lanes: pass.lanes, x: hidden)
  }

  /// Token embeddings, with the projected rows `image` and newlines at the image tokens, into `target` [ids, width].
  func splice(_ ids: [Int], _ image: ConstFloats, _ layout: ImageLayout, into target: Floats) {
    let width = text.transformer.shape.width
    var next = 0
    for (row, id) in ids.enumerated() {
      if id == configuration.imageTokenIndex, next < layout.tokens.count {
        if let source = layout.tokens[next].map({ image + $0 * width }) ?? imageNewline.map({ ConstFloats($0.base) }) {
          (target + row * width).update(from: source, count: width)
        }
        next += 1
      } else {
        text.embed(id, into: target + row * width)
      }
    }
  }

  /// Final norm and unembedding of each lane's `rows`: logits [rows, vocabulary] per lane, without rows for a failed one.
  func readOut(
    _ pack: inout Packed, rows: [[Row]], step: Int, visitor: (any HookVisitor)?
  ) throws(ModelError) -> [Tensor] {
    let (width, vocabulary) = (text.transformer.shape.width, configuration.text.vocabulary)
    var readers = pack.lanes
    for i in readers.indices { readers[i].rows = pack.lanes[i].failure == nil ? rows[i] : [] }
    placeRows(&readers)
    let count = readers.reduce(0) { $0 + $1.rows.count }
    let picked = Tensor(zeros: [count, width])
    for (lane, reader) in zip(pack.lanes, readers) {
      let places = Dictionary(uniqueKeysWithValues: lane.rows.enumerated().map { ($1, lane.first + $0) })
      for (n, row) in reader.rows.enumerated() {
        guard let place = places[row] else {
          throw .input(
            place: "output rows", problem: "row \(row) is not among the rows of the pass",
            remedy: "ask for rows of the prompt")
        }
        let source = pack.x.base + place * width
        (picked.base + (reader.first + n) * width).update(from: source, count: width)
      }
    }
    let normed = Tensor(zeros: [count, width])
    text.norm(picked.base, rows: count, width: width, into: normed.base)
    hook(.finalNorm, normed, width: width, &readers, step: step, visitor: visitor)
    let logits = try lifting { () throws(TensorError) in try text.unembedding.logits(normed.base, rows: count) }
    hook(.logits, logits, width: vocabulary, &readers, step: step, visitor: visitor)
    for i in readers.indices {
      pack.lanes[i].results = readers[i].results
      pack.lanes[i].failure = readers[i].failure
    }
    return readers.map { reader in
      let own = Tensor(zeros: [reader.failure == nil ? reader.rows.count : 0, vocabulary])
      own.base.update(from: logits.base + reader.first * vocabulary, count: own.count)
      return own
    }
  }

  private func hook(
    _ site: Site, _ tensor: Tensor, width: Int, _ lanes: inout [Lane], step: Int, visitor: (any HookVisitor)?
  ) {
    var place = HookedSite(
      point: HookPoint(.text, nil, site), base: tensor.base, shape: text.transformer.shape, rowWidth: width, step: step)
    place.run(&lanes, only: nil, visitor: visitor)
  }

  /// Greedy decoding: every lane that goes on brings one row, the token chosen last, and reads its own keys and values.
  private func generate(
    _ input: ModelInput, _ lanes: inout [Lane], _ outputs: inout [LaneOutput], visitor: (any HookVisitor)?
  ) throws(ModelError) {
    let width = text.transformer.shape.width
    let last = input.ids.count - 1
    var chosen = outputs.map { output -> Int? in
      output.rows.firstIndex(of: last).flatMap { output.logits.count == 0 ? nil : argmax(output.logits, row: $0) }
    }
    for i in lanes.indices { lanes[i].decodes() }
    for step in 1...input.newTokens {
      for i in lanes.indices {
        if let token = chosen[i], configuration.eosTokenIds.contains(token) { chosen[i] = nil }
        if let token = chosen[i] { outputs[i].generated.append(token) }
        lanes[i].rows = chosen[i] != nil && step < input.newTokens ? [last + step] : []
      }
      placeRows(&lanes)
      let count = lanes.reduce(0) { $0 + $1.rows.count }
      if count == 0 { break }
      let x = Tensor(zeros: [count, width])
      for (lane, token) in zip(lanes, chosen) where !lane.rows.isEmpty {
        text.embed(token ?? 0, into: x.base + lane.first * width)
      }
      var pack = try decode(Packed(lanes: lanes, x: x), step: step, visitor: visitor)
      let logits = try readOut(&pack, rows: pack.lanes.map(\.rows), step: step, visitor: visitor)
      lanes = pack.lanes
      for i in lanes.indices {
        let runs = logits[i].count > 0 && lanes[i].failure == nil
        if runs { outputs[i].steps = step }
        chosen[i] = runs ? argmax(logits[i], row: 0) : nil
      }
    }
  }
}

/// Index of the largest entry of a row, the first among equals.
package func argmax(_ tensor: Tensor, row: Int) -> Int {
  let width = tensor.shape[1]
  let base = tensor.base + row * width
  return (0..<width).reduce(0) { base[$1] > base[$0] ? $1 : $0 }
}
