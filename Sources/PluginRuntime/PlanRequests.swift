import PluginABI

/// Rows of a site: a selector of the published grammar, or a list of absolute rows. "all" where nothing was said.
package enum TokenRequest: Sendable, Equatable {
  case selector(String)
  case rows([Int])
}

/// Layers of a tower, not yet held against a model.
package enum LayerRequest: Sendable, Equatable {
  /// first...last, inclusive; negative from the end.
  case range(Int, Int)
  /// Text of the published grammar.
  case selector(String)
}

/// Rows that on_event wants to see or change: an `ablate_access`, copied.
package struct AccessRequest: Sendable, Equatable {
  package var access: Access
  package var tower: String
  package var site: String
  package var layers: LayerRequest
  /// nil: all.
  package var heads: [Int]?
  package var tokens: TokenRequest

  package init(
    access: Access, tower: String, site: String, layers: LayerRequest, heads: [Int]? = nil, tokens: TokenRequest
  ) {
    (self.access, self.tower, self.site, self.layers) = (access, tower, site, layers)
    (self.heads, self.tokens) = (heads, tokens)
  }
}

/// An ablation said as data: an `ablate_edit`, copied.
package struct EditRequest: Sendable, Equatable {
  /// The raw values are ABLATE_EDGE_* and ABLATE_SITE_*.
  package enum Operation: UInt32, CaseIterable, Sendable {
    case edgeDrop = 1
    case edgeKeepOnly, edgeBias, edgeZero, siteScale, siteSet, siteAdd, sitePatch

    package var isEdge: Bool { rawValue <= Operation.edgeZero.rawValue }
  }

  /// What becomes of a query that may attend to nothing. The raw values are ABLATE_EMPTY_*.
  package enum OnEmpty: UInt32, Sendable { case error, itself, zero }

  package var operation: Operation
  package var tower: String
  /// nil for edges.
  package var site: String?
  package var layers: LayerRequest
  /// nil: all.
  package var heads: [Int]?
  /// For site operations: the tokens.
  package var queries: TokenRequest
  package var keys: TokenRequest
  package var value: Double
  package var vector: TensorValue?
  package var sourceCondition: String?
  package var sourceItem: String?
  /// Of a patch: the layer that is read; nil: the one that is patched.
  package var sourceLayer: Int?
  /// Vectors by hook point, `text.3.z`, in the place of `vector`: one per layer, of one model.
  package var vectors: PointVectors?
  package var keepSelf: Bool
  package var onEmpty: OnEmpty

  package init(
    operation: Operation, tower: String, site: String?, layers: LayerRequest, heads: [Int]?, queries: TokenRequest,
    keys: TokenRequest, value: Double, vector: TensorValue?, sourceCondition: String? = nil, sourceItem: String? = nil,
    sourceLayer: Int? = nil, vectors: PointVectors? = nil, keepSelf: Bool, onEmpty: OnEmpty
  ) {
    (self.operation, self.tower, self.site, self.layers) = (operation, tower, site, layers)
    (self.heads, self.queries, self.keys, self.value, self.vector) = (heads, queries, keys, value, vector)
    (self.sourceCondition, self.sourceItem, self.sourceLayer) = (sourceCondition, sourceItem, sourceLayer)
    self.vectors = vectors
    (self.keepSelf, self.onEmpty) = (keepSelf, onEmpty)
  }
}

/// Vectors of a file of `ablate mean`.
package struct PointVectors: Sendable, Equatable {
  package var path: String
  /// The model that they were taken from.
  package var modelDigest: String
  package var byPoint: [String: [Float]]

  package init(path: String, modelDigest: String, byPoint: [String: [Float]]) {
    (self.path, self.modelDigest, self.byPoint) = (path, modelDigest, byPoint)
  }
}

/// A probe's question said as data: an `ablate_reading`, copied.
package struct ReadingRequest: Sendable, Equatable {
  /// The raw values are ABLATE_READ_LENS, _MASS, _CAPTURE.
  package enum Operation: UInt32, Sendable { case lens = 1, mass, capture }
  /// The raw values are ABLATE_TIES_*.
  package enum Ties: UInt32, Sendable { case mean, best }
  /// How a label may be spelled. The raw values are ABLATE_FORM_*.
  package enum Form: UInt32, CaseIterable, Sendable { case spaced = 1, bare = 2, capital = 4, plural = 8 }
  /// What stands for a spelling of several pieces. The raw values are ABLATE_PIECES_*.
  package enum Pieces: UInt32, Sendable { case exclude, first, min, mean }

  package var operation: Operation
  package var tower: String
  package var site: String
  package var layers: LayerRequest
  /// nil, in a capture: of each label the mask of its name.
  package var tokens: String?
  package var keys: String
  package var labels: String
  package var normed: Bool
  package var ties: Ties
  /// The rank is counted among these ids; nil: the whole vocabulary.
  package var vocabulary: Range<Int>?
  /// The best of these counts.
  package var forms: Set<Form>
  package var pieces: Pieces
  /// Of a lens: how many of the words that it reads first are answered too.
  package var top = 0
  /// Of a lens: against the input embeddings, not the unembedding.
  package var embedding = false
  /// Of a lens: by the direction of both vectors alone.
  package var cosine = false

  package static let mostTop = 64
}

/// A plugin's plan for an item, or for all of them.
package struct PlanRequest: Sendable, Equatable {
  package var perItem = false
  package var accesses: [AccessRequest] = []
  package var edits: [EditRequest] = []
  package var readings: [ReadingRequest] = []

  package init() {}
}

extension ForeignReader {
  static func plan(_ plan: ablate_plan) throws(Fault) -> PlanRequest {
    let reader = ForeignReader(at: "plan")
    guard plan.flags & ~ABLATE_PLAN_PER_ITEM == 0 else { throw reader.fault("flags", "has unknown bits") }
    var request = PlanRequest()
    request.perItem = plan.flags & ABLATE_PLAN_PER_ITEM != 0
    for (i, access) in try reader.structs(plan.accesses, plan.n_accesses, "accesses").enumerated() {
      request.accesses.append(try ForeignReader(at: "accesses[\(i)]").access(access))
    }
    for (i, edit) in try reader.structs(plan.edits, plan.n_edits, "edits").enumerated() {
      request.edits.append(try ForeignReader(at: "edits[\(i)]").edit(edit))
    }
    for (i, reading) in try reader.structs(plan.readings, plan.n_readings, "readings").enumerated() {
      request.readings.append(try ForeignReader(at: "readings[\(i)]").reading(reading))
    }
    return request
  }

  private func access(_ access: ablate_access) throws(Fault) -> AccessRequest {
    let bits = Access(rawValue: access.access)
    guard !bits.isEmpty, bits.isSubset(of: [.read, .write]) else {
      throw fault("access", "is \(access.access); 1 reads, 2 writes, 3 does both")
    }
    try requireZero(access.flags, "flags")
    return AccessRequest(
      access: bits, tower: try string(access.tower, "tower"), site: try string(access.site, "site"),
      layers: try layers(access.layers, access.layer_first, access.layer_last),
      heads: try integers(access.heads, access.n_heads, "heads"),
      tokens: try tokens(access.tokens, access.token_index, access.n_token_index, "tokens"))
  }

  private func edit(_ edit: ablate_edit) throws(Fault) -> EditRequest {
    guard let operation = EditRequest.Operation(rawValue: edit.op) else {
      throw fault("op", "is \(edit.op), which minor \(ABI.minor) does not know")
    }
    guard let onEmpty = EditRequest.OnEmpty(rawValue: edit.on_empty) else {
      throw fault("on_empty", "is \(edit.on_empty), not 0, 1 or 2")
    }
    guard edit.keep_self <= 1 else { throw fault("keep_self", "is \(edit.keep_self), not 0 or 1") }
    try requireZero(edit.flags & ~ABLATE_EDIT_SOURCE_LAYER, "flags")
    guard edit.value.isFinite else { throw fault("value", "is \(edit.value)") }
    let site = try optionalString(edit.site, "site")
    guard operation.isEdge == (site == nil) else {
      throw fault("site", operation.isEdge ? "must be NULL for edges" : "is NULL, but \(operation) needs one")
    }
    return EditRequest(
      operation: operation, tower: try string(edit.tower, "tower"), site: site,
      layers: try layers(edit.layers, edit.layer_first, edit.layer_last),
      heads: try integers(edit.heads, edit.n_heads, "heads"),
      queries: try tokens(edit.queries, edit.query_index, edit.n_query_index, "queries"),
      keys: try tokens(edit.keys, edit.key_index, edit.n_key_index, "keys"), value: edit.value,
      vector: try tensor(edit.vector, "vector"),
      sourceCondition: try optionalString(edit.source_condition, "source_condition"),
      sourceItem: try optionalString(edit.source_item, "source_item"),
      sourceLayer: edit.flags & ABLATE_EDIT_SOURCE_LAYER == 0 ? nil : Int(edit.source_layer),
      keepSelf: edit.keep_self == 1, onEmpty: onEmpty)
  }

  private func reading(_ reading: ablate_reading) throws(Fault) -> ReadingRequest {
    guard let operation = ReadingRequest.Operation(rawValue: reading.op) else {
      throw fault("op", "is \(reading.op), which minor \(ABI.minor) does not know")
    }
    guard let ties = ReadingRequest.Ties(rawValue: reading.ties) else { throw fault("ties", "is \(reading.ties)") }
    guard let pieces = ReadingRequest.Pieces(rawValue: reading.pieces) else {
      throw fault("pieces", "is \(reading.pieces), not 0 to 3")
    }
    guard reading.forms < 16 else { throw fault("forms", "has bits that minor \(ABI.minor) does not know") }
    guard reading.top <= UInt32(operation == .mass ? 0 : ReadingRequest.mostTop) else {
      throw fault("top", "is \(reading.top); a lens answers at most \(ReadingRequest.mostTop), attention mass none")
    }
    try requireZero(reading.scores & ~(ABLATE_SCORE_EMBEDDING | ABLATE_SCORE_COSINE), "scores")
    if operation != .lens { try requireZero(reading.scores, "scores") }
    guard reading.normed <= 1 else { throw fault("normed", "is \(reading.normed), not 0 or 1") }
    let (first, count) = (reading.vocabulary_first, reading.vocabulary_count)
    guard (0...Int64(Int32.max)).contains(first), (0...Int64(Int32.max)).contains(count) else {
      throw fault("vocabulary_first", "ids from \(first), \(count) of them")
    }
    return ReadingRequest(
      operation: operation, tower: try string(reading.tower, "tower"), site: try string(reading.site, "site"),
      layers: try layers(reading.layers, reading.layer_first, reading.layer_last),
      tokens: try optionalString(reading.tokens, "tokens") ?? (operation == .capture ? nil : "all"),
      keys: try optionalString(reading.keys, "keys") ?? "all",
      labels: try optionalString(reading.labels, "labels") ?? "", normed: reading.normed == 1, ties: ties,
      vocabulary: count == 0 ? nil : Int(first)..<Int(first + count),
      forms: reading.forms == 0
        ? [.spaced] : Set(ReadingRequest.Form.allCases.filter { reading.forms & $0.rawValue != 0 }),
      pieces: pieces, top: Int(reading.top), embedding: reading.scores & ABLATE_SCORE_EMBEDDING != 0,
      cosine: reading.scores & ABLATE_SCORE_COSINE != 0)
  }

  private func requireZero(_ bits: UInt32, _ field: String) throws(Fault) {
    guard bits == 0 else { throw fault(field, "has bits that minor \(ABI.minor) does not know: \(bits)") }
  }

  private func layers(
    _ selector: UnsafePointer<CChar>?, _ first: Int32, _ last: Int32
  ) throws(Fault) -> LayerRequest {
    try optionalString(selector, "layers").map { .selector($0) } ?? .range(Int(first), Int(last))
  }

  private func tokens(
    _ selector: UnsafePointer<CChar>?, _ index: UnsafePointer<Int32>?, _ count: UInt64, _ field: String
  ) throws(Fault) -> TokenRequest {
    let text = try optionalString(selector, field)
    let rows = try integers(index, count, field)
    guard text == nil || rows == nil else { throw fault(field, "is both a selector and a list") }
    return rows.map { .rows($0) } ?? .selector(text ?? "all")
  }

  /// A dense f32 tensor of the CPU, copied; nil for NULL.
  func tensor(_ pointer: UnsafePointer<ablate_tensor>?, _ field: String) throws(Fault) -> TensorValue? {
    guard let tensor = pointer?.pointee else { return nil }
    let (shape, values) = try dense(tensor, field)
    return TensorValue(shape: shape, values: Array(values))
  }

  /// Writes to a dense f32 tensor of as many elements.
  func fill(_ pointer: UnsafePointer<ablate_tensor>?, _ field: String, with values: [Float]) throws(Fault) {
    guard let tensor = pointer?.pointee else { throw fault(field, "is NULL") }
    let (shape, target) = try dense(tensor, field)
    guard target.count == values.count else { throw fault(field, "has shape \(shape) for \(values.count) numbers") }
    _ = target.update(from: values)
  }

  private func dense(
    _ tensor: ablate_tensor, _ field: String
  ) throws(Fault) -> (shape: [Int], values: UnsafeMutableBufferPointer<Float>) {
    guard tensor.device_type == 1, tensor.dtype_code == 2, tensor.dtype_bits == 32, tensor.dtype_lanes == 1 else {
      throw fault(field, "must be f32 on the CPU")
    }
    guard let data = tensor.data, let shape = tensor.shape, (1...8).contains(tensor.ndim) else {
      throw fault(field, "needs data and 1 to 8 dimensions; ndim is \(tensor.ndim)")
    }
    var elements: Int64 = 1
    var extents: [Int] = []
    for d in (0..<Int(tensor.ndim)).reversed() {
      if let strides = tensor.strides, shape[d] > 1, strides[d] != elements { throw fault(field, "is not dense") }
      let (product, overflow) = elements.multipliedReportingOverflow(by: shape[d])
      guard shape[d] > 0, !overflow, product <= 1 << 28 else {
        throw fault(field, "has extent \(shape[d]) in axis \(d)")
      }
      elements = product
      extents.insert(Int(shape[d]), at: 0)
    }
    guard tensor.size_bytes == UInt64(elements) * 4, tensor.byte_offset % 4 == 0 else {
      throw fault(field, "size_bytes is \(tensor.size_bytes) for \(elements) elements of 4 bytes")
    }
    let start = data.advanced(by: Int(tensor.byte_offset)).assumingMemoryBound(to: Float.self)
    return (extents, UnsafeMutableBufferPointer(start: start, count: Int(elements)))
  }
}

extension PlanRequest {
  /// Copies what a plan points at; for hosts other than `PluginInstance`.
  package init(copying plan: ablate_plan, plugin: String) throws(PluginError) {
    do { self = try ForeignReader.plan(plan) } catch {
      throw .failed(plugin: plugin, at: error.field, reason: error.problem)
    }
  }
}
