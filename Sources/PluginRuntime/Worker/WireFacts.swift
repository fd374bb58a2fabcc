/// What the host tells a plugin, on the wire. `Python/worker.py` reads the same.

extension ModelFacts: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(family, digest)
    wire.put(textLayers, textHeads, textKVHeads, textHeadWidth, textWidth, textMLPWidth)
    wire.put(visionLayers, visionHeads, visionHeadWidth, visionWidth)
    wire.put(patchRows, patchCols, imageSize, featureLayer, vocabulary, knownVocabulary)
  }

  init(from wire: inout WireReader) throws(WireFault) {
    (family, digest) = (try wire.get(), try wire.get())
    (textLayers, textHeads, textKVHeads) = (try wire.get(), try wire.get(), try wire.get())
    (textHeadWidth, textWidth, textMLPWidth) = (try wire.get(), try wire.get(), try wire.get())
    (visionLayers, visionHeads) = (try wire.get(), try wire.get())
    (visionHeadWidth, visionWidth) = (try wire.get(), try wire.get())
    (patchRows, patchCols, imageSize) = (try wire.get(), try wire.get(), try wire.get())
    (featureLayer, vocabulary, knownVocabulary) = (try wire.get(), try wire.get(), try wire.get())
  }
}

extension ItemFacts: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(index, id, condition, tokens, segments, labels, masks, meta)
  }

  init(from wire: inout WireReader) throws(WireFault) {
    (index, id, condition) = (try wire.get(), try wire.get(), try wire.get())
    (tokens, segments, labels, masks) = (try wire.get(), try wire.get(), try wire.get(), try wire.get())
    meta = try wire.get()
  }
}

extension ItemFacts.Segment: Wire {
  func write(to wire: inout WireWriter) { wire.put(kind.rawValue, first, count, image, tile, rows, cols, box) }

  init(from wire: inout WireReader) throws(WireFault) {
    self.init(try wire.get(), first: try wire.get(), count: try wire.get())
    (image, tile, rows, cols, box) = (try wire.get(), try wire.get(), try wire.get(), try wire.get(), try wire.get())
  }
}

/// Other spellings stay with the host, which answers the lens itself.
extension ItemFacts.Label: Wire {
  func write(to wire: inout WireWriter) { wire.put(field, text, ids) }

  init(from wire: inout WireReader) throws(WireFault) {
    self.init(field: try wire.get(), text: try wire.get(), ids: try wire.get())
  }
}

extension ItemFacts.Mask: Wire {
  func write(to wire: inout WireWriter) { wire.put(name, rows, coverage) }

  init(from wire: inout WireReader) throws(WireFault) {
    self.init(name: try wire.get(), rows: try wire.get(), coverage: try wire.get())
  }
}

extension TensorValue: Wire {
  func write(to wire: inout WireWriter) { wire.put(shape, values) }

  init(from wire: inout WireReader) throws(WireFault) {
    self.init(shape: try wire.get(), values: try wire.get())
  }
}

extension BoundParameter: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(id, type.rawValue)
    switch value {
    case .bool(let flag): wire.put(flag)
    case .integer(let number): wire.put(number)
    case .number(let number): wire.put(number)
    case .string(let text), .selector(let text): wire.put(text)
    case .integers(let all): wire.put(all)
    case .strings(let all): wire.put(all)
    case .tensor(let tensor): wire.put(tensor)
    }
  }

  init(from wire: inout WireReader) throws(WireFault) {
    (id, type) = (try wire.get(), try wire.get())
    switch type {
    case .bool: value = .bool(try wire.get())
    case .i64: value = .integer(try wire.get())
    case .f64: value = .number(try wire.get())
    case .str: value = .string(try wire.get())
    case .selector: value = .selector(try wire.get())
    case .i64v: value = .integers(try wire.get())
    case .strv: value = .strings(try wire.get())
    case .tensor: value = .tensor(try wire.get())
    }
  }
}

extension EventPlace: Wire {
  func write(to wire: inout WireWriter) { wire.put(phase.rawValue, layer, step, tower, site) }

  init(from wire: inout WireReader) throws(WireFault) {
    self.init(
      phase: try wire.get(), layer: try wire.get(), step: try wire.get(), tower: try wire.get(), site: try wire.get())
  }
}

extension Column: Wire {
  func write(to wire: inout WireWriter) {
    wire.put(name, valid)
    switch values {
    case .bools(let all): wire.put(UInt8(1), all)
    case .integers(let all): wire.put(UInt8(2), all)
    case .numbers(let all): wire.put(UInt8(3), all)
    case .strings(let all): wire.put(UInt8(4), all)
    }
  }

  init(from wire: inout WireReader) throws(WireFault) {
    (name, valid) = (try wire.get(), try wire.get())
    switch try wire.get(UInt8.self) {
    case 1: values = .bools(try wire.get())
    case 2: values = .integers(try wire.get())
    case 3: values = .numbers(try wire.get())
    case 4: values = .strings(try wire.get())
    case let other: throw WireFault(problem: "\(other) is no type of column")
    }
  }
}
