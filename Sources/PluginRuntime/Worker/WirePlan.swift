/// What a plugin asks for, and what goes wrong in it, on the wire. `Python/worker.py` writes the same.

extension PlanRequest: Wire {
  func write(to wire: inout WireWriter) { wire.put(perItem, accesses, edits, readings) }

  init(from wire: inout WireReader) throws(WireFault) {
    (perItem, accesses, edits, readings) = (try wire.get(), try wire.get(), try wire.get(), try wire.get())
  }
}

extension TokenRequest: Wire {
  func write(to wire: inout WireWriter) {
    switch self {
    case .selector(let text): wire.put(false, text)
    case .rows(let rows): wire.put(true, rows)
    }
  }

  init(from wire: inout WireReader) throws(WireFault) {
    self = try wire.get(Bool.self) ? .rows(try wire.get()) : .selector(try wire.get())
  }
}

extension LayerRequest: Wire {
  func write(to wire: inout WireWriter) {
    switch self {
    case .selector(let text): wire.put(false, text)
    case .range(let first, let last): wire.put(true, first, last)
    }
  }

  init(from wire: inout WireReader) throws(WireFault) {
    self = try wire.get(Bool.self) ? .range(try wire.get(), try wire.get()) : .selector(try wire.get())
  }
}

extension AccessRequest: Wire {
  func write(to wire: inout WireWriter) { wire.put(access.rawValue, tower, site, layers, heads, tokens) }

  init(from wire: inout WireReader) throws(WireFault) {
    self.init(
      access: Access(rawValue: try wire.get()), tower: try wire.get(), site: try wire.get(), layers: try wire.get(),
      heads: try wire.get(), tokens: try wire.get())
  }
}

extension EditRequest: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(operation.rawValue, tower, site, layers, heads, queries, keys, value, vector)
    wire.put(sourceCondition, sourceItem, sourceLayer, keepSelf, onEmpty.rawValue)
  }

  init(from wire: inout WireReader) throws(WireFault) {
    self.init(
      operation: try wire.get(), tower: try wire.get(), site: try wire.get(), layers: try wire.get(),
      heads: try wire.get(), queries: try wire.get(), keys: try wire.get(), value: try wire.get(),
      vector: try wire.get(), sourceCondition: try wire.get(), sourceItem: try wire.get(),
      sourceLayer: try wire.get(), keepSelf: try wire.get(), onEmpty: try wire.get())
  }
}

extension ReadingRequest: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(operation.rawValue, tower, site, layers, tokens, keys, labels, normed, ties.rawValue)
    wire.put(vocabulary?.lowerBound, vocabulary?.upperBound, Form.allCases.filter(forms.contains).map(\.rawValue))
    wire.put(pieces.rawValue, top, embedding, cosine)
  }

  init(from wire: inout WireReader) throws(WireFault) {
    (operation, tower, site, layers) = (try wire.get(), try wire.get(), try wire.get(), try wire.get())
    (tokens, keys, labels) = (try wire.get(), try wire.get(), try wire.get())
    (normed, ties) = (try wire.get(), try wire.get())
    let (first, end): (Int?, Int?) = (try wire.get(), try wire.get())
    if let first, let end {
      guard first <= end else { throw WireFault(problem: "ids from \(first) to \(end)") }
      vocabulary = first..<end
    }
    let spelled: [UInt32] = try wire.get()
    (forms, pieces, top) = (Set(spelled.compactMap(Form.init)), try wire.get(), try wire.get())
    (embedding, cosine) = (try wire.get(), try wire.get())
  }
}

/// Only what can go wrong in a worker; the plugin's name and its library's path are the host's to say.
extension PluginError {
  func write(to wire: inout WireWriter) {
    switch self {
    case .failed(_, let at, let reason): wire.put(UInt8(1), at, reason)
    case .library(_, .dlopen(let why)): wire.put(UInt8(2), why)
    case .library(_, .refused(let why)): wire.put(UInt8(3), why)
    case .descriptor(_, let field, let problem): wire.put(UInt8(4), field, problem)
    case .mismatch(_, let field, let library, let manifest): wire.put(UInt8(5), field, library, manifest)
    case .planOutside(_, let request, let problem): wire.put(UInt8(6), request, problem)
    case .signature(_, let at, let problem): wire.put(UInt8(7), at, problem)
    case .knownAnswer(_, _, .status(let status)): wire.put(UInt8(8), status)
    case .knownAnswer(_, _, .wrong(let index, let got, let expected)): wire.put(UInt8(9), index, got, expected)
    case .knownAnswer(_, _, .wroteBefore(let offset)): wire.put(UInt8(10), offset)
    case .knownAnswer(_, _, .notRun(let why)): wire.put(UInt8(11), why)
    case .knownAnswer(_, _, .wroteBehind(let offset)): wire.put(UInt8(12), offset)
    default: wire.put(UInt8(1), diagnosis.place, diagnosis.what)
    }
  }

  init(from wire: inout WireReader, _ manifest: PluginManifest) throws(WireFault) {
    let (id, path, symbol) = (manifest.id, manifest.libraryPath, manifest.plain?.symbol ?? "")
    switch try wire.get(UInt8.self) {
    case 1: self = .failed(plugin: id, at: try wire.get(), reason: try wire.get())
    case 2: self = .library(path: path, fault: .dlopen(try wire.get()))
    case 3: self = .library(path: path, fault: .refused(try wire.get()))
    case 4: self = .descriptor(path: path, field: try wire.get(), problem: try wire.get())
    case 5: self = .mismatch(path: path, field: try wire.get(), library: try wire.get(), manifest: try wire.get())
    case 6: self = .planOutside(plugin: id, request: try wire.get(), problem: try wire.get())
    case 7: self = .signature(path: manifest.path, at: try wire.get(), problem: try wire.get())
    case 8: self = .knownAnswer(path: path, symbol: symbol, fault: .status(try wire.get()))
    case 9:
      self = .knownAnswer(
        path: path, symbol: symbol,
        fault: .wrong(index: try wire.get(), got: try wire.get(), expected: try wire.get()))
    case 10: self = .knownAnswer(path: path, symbol: symbol, fault: .wroteBefore(offset: try wire.get()))
    case 11: self = .knownAnswer(path: path, symbol: symbol, fault: .notRun(try wire.get()))
    case 12: self = .knownAnswer(path: path, symbol: symbol, fault: .wroteBehind(offset: try wire.get()))
    case let other: throw WireFault(problem: "\(other) is no error")
    }
  }
}
