import Models
import TestSupport

extension SeededNumbers {
  /// Uniform in -1...1.
  mutating func number() -> Float { Float.random(in: -1...1, using: &self) }

  mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &self) < share }

  mutating func some(of range: Range<Int>, atMost count: Int) -> [Int] {
    Array(range.shuffled(using: &self).prefix(Int.random(in: 1...count, using: &self))).sorted()
  }
}

/// Conditions drawn from a seed: dropped edges, per head or for all, writes, readings and plugins at every kind of site.
struct RandomPrograms {
  private var numbers: SeededNumbers
  let model: VisionLanguageModel
  let input: ModelInput

  init(_ model: VisionLanguageModel, _ input: ModelInput, seed: UInt64) {
    (self.model, self.input) = (model, input)
    numbers = SeededNumbers(seed)
  }

  private func rows(_ tower: Tower) -> Range<Int> {
    switch tower {
    case .vision: 0..<(1 + model.configuration.vision.patches)
    case .projector: 0..<model.configuration.imageTokens
    case .text: 0..<input.segments.length
    }
  }

  /// A condition of the text tower that changes something.
  mutating func next() throws -> Program {
    var program = Program()
    // A condition that begins late leaves the first layers empty; one that ends early leaves rows that differ.
    let layers = numbers.some(of: 0..<model.hooks.textLayers, atMost: model.hooks.textLayers)
    for layer in layers {
      if numbers.chance(0.6) { try cut(&program, .text, layer) }
      if numbers.chance(0.6) { write(&program, .text, layer) }
      if numbers.chance(0.2) { write(&program, .text, layer) }
    }
    if numbers.chance(0.1) {
      program.add(Op(.scale(1.5), rows: numbers.some(of: rows(.text), atMost: 3)), at: HookPoint(.text, nil, .embed))
    }
    if program.ops.isEmpty && program.edges.isEmpty { write(&program, .text, layers[0]) }
    return program
  }

  /// Any condition: of the text tower, of the image's way to it, or of nothing; half of them are read.
  mutating func any() throws -> Program {
    var program = numbers.chance(0.3) ? Program() : try next()
    if numbers.chance(0.2) {
      let layer = Int.random(in: 0..<model.hooks.visionLayers, using: &numbers)
      if numbers.chance(0.5) { try cut(&program, .vision, layer) } else { write(&program, .vision, layer) }
    }
    if numbers.chance(0.1) {
      add(&program, [.scale(0.5), .call(access: 0, writes: true)], .projector, nil, [.in, .mid, .out])
    }
    while numbers.chance(0.6) { read(&program) }
    return program
  }

  /// Rows to be read out.
  mutating func outputRows() -> [Row] {
    let prompt = 0..<input.ids.count
    return Set(numbers.some(of: prompt, atMost: 4) + [prompt.count - 1]).sorted()
  }

  private mutating func cut(_ program: inout Program, _ tower: Tower, _ layer: Int) throws {
    let c = model.configuration
    let heads = tower == .text ? c.text.heads : c.vision.heads
    let rules = (0..<Int.random(in: 1...2, using: &numbers)).map { _ in
      EdgeRule(
        numbers.chance(0.8) ? .drop : numbers.chance(0.5) ? .bias(numbers.number()) : .zero,
        heads: numbers.chance(0.5) ? nil : numbers.some(of: 0..<heads, atMost: heads),
        queries: numbers.some(of: rows(tower), atMost: 6), keys: numbers.some(of: rows(tower), atMost: 20),
        keepSelf: numbers.chance(0.5),
        onEmpty: numbers.chance(0.5) ? .attendSelf : .zero)
    }
    program.edges[HookPoint(tower, layer, .attnScores)] = try EdgeMask(
      rules, heads: heads, length: rows(tower).count, causal: tower == .text, place: tower.rawValue)
  }

  private mutating func write(_ program: inout Program, _ tower: Tower, _ layer: Int) {
    let (factor, value) = (numbers.number() * 2, numbers.number())
    let sites = model.hooks.sites(of: tower).filter { $0 != .attnScores }
    add(&program, [.scale(factor), .set([value]), .add([value]), .call(access: 0, writes: true)], tower, layer, sites)
  }

  private mutating func read(_ program: inout Program) {
    let tower: Tower = numbers.chance(0.8) ? .text : numbers.chance(0.5) ? .vision : .projector
    let reading = program.ops.count
    let actions: [Op.Action] = [
      .capture(reading: reading), .capture(reading: reading), .call(access: 1, writes: false),
    ]
    if tower == .projector { return add(&program, actions, tower, nil, [.in, .mid, .out]) }
    let layer = Int.random(in: 0..<model.hooks.layers(of: tower), using: &numbers)
    if numbers.chance(0.2) {
      return add(
        &program, [.mass(reading: reading, keys: numbers.some(of: rows(tower), atMost: 9))], tower, layer, [.pattern])
    }
    let sites = model.hooks.sites(of: tower)
    // Most probes read the residual stream, which a borrowing lane may find in the clean pass.
    add(&program, actions, tower, layer, numbers.chance(0.5) ? [.residPre, .residPost] : sites)
  }

  /// One of these actions at one of these sites, at some rows and heads.
  private mutating func add(
    _ program: inout Program, _ actions: [Op.Action], _ tower: Tower, _ layer: Int?, _ sites: [Site]
  ) {
    let site = sites[Int.random(in: sites.indices, using: &numbers)]
    let (c, isText) = (model.configuration, tower == .text)
    let count: Int? =
      switch site.axes {
      case .rowsHeads, .headsRowsKeys: isText ? c.text.heads : c.vision.heads
      case .rowsKeyValueHeads: isText ? c.text.kvHeads : c.vision.heads
      case .rowsWidth: nil
      }
    let heads = numbers.chance(0.5) ? count.map { numbers.some(of: 0..<$0, atMost: $0) } : nil
    let action = actions[Int.random(in: actions.indices, using: &numbers)]
    program.add(
      Op(action, rows: numbers.some(of: rows(tower), atMost: 4), heads: heads, plugin: 0),
      at: HookPoint(tower, layer, site))
  }
}
