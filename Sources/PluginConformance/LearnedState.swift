import PluginRuntime

/// What a probe has learned, tried on a small table through the host's own fits. A lens reads the hidden states themselves here.
struct LearnedState {
  private static let rows = 24, width = 6, classes = 3
  private let plugin: PluginUnderTest
  /// [rows, width], and what a lens is to make of them.
  private let features: [Float]
  private let finals: [Float]
  private let seed: UInt64

  init(_ plugin: PluginUnderTest, seed: UInt64) {
    (self.plugin, self.seed) = (plugin, seed)
    features = LearnedState.numbers(seed, stream: 0, count: Self.rows * Self.width)
    finals = LearnedState.numbers(seed, stream: 1, count: Self.rows * Self.width)
  }

  private static func numbers(_ seed: UInt64, stream: UInt64, count: Int) -> [Float] {
    words(seed, stream: stream, count: count).map { Float($0) * 0x1p-31 - 1 }
  }

  private static func words(_ seed: UInt64, stream: UInt64, count: Int) -> [UInt32] {
    var words = [UInt32](repeating: 0, count: count)
    words.withUnsafeMutableBufferPointer {
      Philox.fill($0, key: SIMD2(UInt32(truncatingIfNeeded: seed), 7), stream: stream, first: 0)
    }
    return words
  }

  /// - Throws: what breaks the contract; `notApplicable` of a plugin that does not learn.
  func check() throws {
    let first = try learner().fit
    try learn(first)
    let (state, answers) = (try first.save(), try predict(first))
    if plugin.isDeterministic {
      let second = try learner().fit
      try learn(second)
      guard try second.save() == state else { throw Finding.fault("equal rows teach it other bits the second time") }
    }
    let again = try learner().fit
    try again.load(state, outputs: outputs(again))
    guard try predict(again).elementsEqual(answers, by: { $0.bitPattern == $1.bitPattern }) else {
      throw Finding.fault("what it has saved and loaded answers with other numbers")
    }
    try checkForeign(state)
    try checkFlipped(state)
  }

  /// Bytes that are cut, longer, or another's are refused; what refused them may be asked, and must come back.
  private func checkForeign(_ state: [UInt8]) throws {
    let cuts = [0, 1, state.count / 2, state.count - 1].map {
      ("its state cut after \($0) bytes", Array(state.prefix($0)))
    }
    let others: [(String, [UInt8])] = [
      ("its state with a byte behind it", state + [0]), ("zeros", state.map { _ in 0 }),
      ("ones", state.map { _ in 0xFF }), ("a text", Array("what another probe has saved".utf8)),
    ]
    for (words, bytes) in cuts + others where bytes != state {
      if try loads(bytes, learner()) { throw Finding.fault("load takes \(words)") }
    }
  }

  /// Whether it takes the bytes. Then it is asked, whatever it said; where code runs in this process, this process ends with it.
  private func loads(_ bytes: [UInt8], _ learner: Learner) throws(Finding) -> Bool {
    let isTaken = (try? learner.fit.load(bytes, outputs: outputs(learner.fit))) != nil
    _ = try? predict(learner.fit)
    if let end = learner.worker?.ends.first { throw .fault("given bytes that it did not save, \(end)") }
    return isTaken
  }

  /// A flipped bit may be a number like any other: it is taken or refused, and nothing ends. `load` forgets, so that one instance will do.
  private func checkFlipped(_ state: [UInt8]) throws {
    guard !state.isEmpty else { return }
    let bits = UInt64(state.count) * 8
    let head = (0..<256).map { UInt32($0) }
    let learner = try learner()
    for word in head + Self.words(seed, stream: 2, count: 64) {
      var bytes = state
      let bit = Int(UInt64(word) % bits)
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      _ = try loads(bytes, learner)
    }
  }

  /// An instance that has learned nothing yet.
  private struct Learner {
    let fit: ProbeFit
    /// Where its code runs, if not here.
    var worker: WorkerInstance?
  }

  private func learner() throws -> Learner {
    switch plugin.code {
    case .plain: throw Finding.notApplicable("it is a plain function")
    case .sdk(let library):
      let instance = try PluginInstance(
        library, parameters: plugin.parameters, model: Specimen.modelFacts, services: services)
      guard instance.learns else { throw Finding.notApplicable(Self.doesNotLearn) }
      return Learner(fit: ProbeFit(try instance.fit(), plugin: instance.id))
    case .python:
      let instance = try WorkerInstance(
        plugin.manifest, parameters: plugin.parameters, model: Specimen.modelFacts, services: services)
      var plan = try instance.plan(nil)
      if plan.perItem { plan = try instance.plan(Specimen.itemFacts) }
      guard plan.readings.contains(where: { $0.operation == .capture }) else {
        throw Finding.notApplicable(Self.doesNotLearn)
      }
      return Learner(fit: ProbeFit(try instance.fit(), plugin: plugin.manifest.id), worker: instance)
    }
  }

  private static let doesNotLearn = "it does not learn"

  private var services: HostServices {
    HostServices(
      emit: { _, _, _ in throw Finding.fault("it emits rows while it learns") },
      randomKey: { _ in SIMD2(1, 2) },
      select: { tower, _ in Specimen.rows(of: tower).map(Int.init) },
      divergence: { hidden, finals in
        let gradient = zip(hidden.values, finals.values).map { $0 - $1 }
        let rows = stride(from: 0, to: gradient.count, by: Self.width).map { gradient[$0..<($0 + Self.width)] }
        return (rows.map { $0.reduce(0) { $0 + $1 * $1 } / 2 }, gradient)
      })
  }

  private func outputs(_ probe: ProbeFit) -> Int { probe.isLens ? Self.width : Self.classes }

  private func learn(_ probe: ProbeFit) throws {
    let images = (0..<Self.rows).map { UInt64($0 / 2) }
    try view(features) { rows in
      if probe.isLens { return try view(finals) { try probe.fit(rows, finals: $0, images: images) } }
      try probe.fit(
        rows, classes: (0..<Self.rows).map { Int32($0 % Self.classes) }, images: images, of: Self.classes)
    }
  }

  private func predict(_ probe: ProbeFit) throws -> [Float] { try view(finals) { try probe.predict($0) } }

  private func view<T>(_ values: [Float], _ body: (FeatureRows) throws -> T) throws -> T {
    try values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { throw Finding.fault("no rows") }
      return try body(FeatureRows(base: base, count: values.count / Self.width, width: Self.width))
    }
  }
}
