import Models

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform in -1...1.
  mutating func number() -> Float { Float.random(in: -1...1, using: &self) }

  mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &self) < share }

  mutating func some(of range: Range<Int>, atMost count: Int) -> [Int] {
    Array(range.shuffled(using: &self).prefix(Int.random(in: 1...count, using: &self))).sorted()
  }
}

/// Conditions of the text tower drawn from a seed: dropped edges, per head or for all, and writes at every kind of site.
struct RandomPrograms {
  private var numbers: SeededNumbers
  let model: VisionLanguageModel
  let input: ModelInput

  init(_ model: VisionLanguageModel, _ input: ModelInput, seed: UInt64) {
    (self.model, self.input) = (model, input)
    numbers = SeededNumbers(seed)
  }

  private var rows: Range<Int> { 0..<input.ids.count }

  mutating func next() throws -> Program {
    var program = Program()
    // A condition that begins late leaves the first layers empty; one that ends early leaves rows that differ.
    let layers = numbers.some(of: 0..<model.hooks.textLayers, atMost: model.hooks.textLayers)
    for layer in layers {
      if numbers.chance(0.6) { program.edges[HookPoint(.text, layer, .attnScores)] = try mask() }
      if numbers.chance(0.6) { try write(&program, layer) }
      if numbers.chance(0.2) { try write(&program, layer) }
    }
    if numbers.chance(0.1) {
      program.add(Op(.scale(1.5), rows: numbers.some(of: rows, atMost: 3)), at: HookPoint(.text, nil, .embed))
    }
    if program.ops.isEmpty && program.edges.isEmpty { try write(&program, layers[0]) }
    return program
  }

  /// Rows to be read out.
  mutating func outputRows() -> [Row] { Set(numbers.some(of: rows, atMost: 4) + [rows.count - 1]).sorted() }

  private mutating func mask() throws -> EdgeMask {
    let heads = model.configuration.text.heads
    let rules = (0..<Int.random(in: 1...2, using: &numbers)).map { _ in
      EdgeRule(
        numbers.chance(0.8) ? .drop : numbers.chance(0.5) ? .bias(numbers.number()) : .zero,
        heads: numbers.chance(0.5) ? nil : numbers.some(of: 0..<heads, atMost: heads),
        queries: numbers.some(of: rows, atMost: 6), keys: numbers.some(of: rows, atMost: 20),
        keepSelf: numbers.chance(0.5),
        onEmpty: numbers.chance(0.5) ? .attendSelf : .zero)
    }
    return try EdgeMask(rules, heads: heads, length: input.segments.length, causal: true, place: "text")
  }

  private mutating func write(_ program: inout Program, _ layer: Int) throws {
    let sites = model.hooks.sites(of: .text).filter { $0 != .attnScores }
    let site = sites[Int.random(in: sites.indices, using: &numbers)]
    let c = model.configuration.text
    let count: Int? =
      switch site.axes {
      case .rowsHeads, .headsRowsKeys: c.heads
      case .rowsKeyValueHeads: c.kvHeads
      case .rowsWidth: nil
      }
    let heads = numbers.chance(0.5) ? count.map { numbers.some(of: 0..<$0, atMost: $0) } : nil
    let action: Op.Action =
      switch Int.random(in: 0..<3, using: &numbers) {
      case 0: .scale(numbers.number() * 2)
      case 1: .set([numbers.number()])
      default: .add([numbers.number()])
      }
    program.add(
      Op(action, rows: numbers.some(of: rows, atMost: 4), heads: heads), at: HookPoint(.text, layer, site))
  }
}
