import Diagnostics
import PluginHost

/// Random seeds under which a condition or a probe is repeated: `seeds: 1-5` makes `name@1` to `name@5`, which a comparison takes for
/// repetitions of one thing under the name without the seed.
enum Seeds {
  static func name(_ name: String, _ seed: Int?) -> String { seed.map { "\(name)@\($0)" } ?? name }

  /// The name that the manifest gives to all repetitions.
  static func base(_ name: String, _ seed: Int?) -> String {
    guard let seed, name.hasSuffix("@\(seed)") else { return name }
    return String(name.dropLast("@\(seed)".count))
  }

  /// A list, or whole numbers from a to b; none twice.
  static func read(_ node: ManifestNode) throws -> [Int] {
    let seeds = try ConditionSweep.values(node).map { value -> Int in
      guard case .int(let seed) = value, seed >= 0 else {
        throw node.refuse("\(node.named) are whole numbers from 0", remedy: "for example 1-5, or [1, 2, 3]")
      }
      return seed
    }
    guard Set(seeds).count == seeds.count else { throw node.refuse("\(node.named) name one twice") }
    return seeds
  }

  /// The one seed of a resolved manifest, where each repetition stands by itself under its own name.
  static func resolved(_ node: ManifestNode, of name: String) throws -> Int {
    let seed = try node.int(in: 0...(.max))
    guard base(name, seed) != name else {
      throw node.refuse(
        "'seed' belongs to resolved manifests, under a name that ends with '@\(seed)'", remedy: "seeds: 1-5")
    }
    return seed
  }
}

extension ConditionDefinition {
  /// Its name without the seed.
  package var base: String { Seeds.base(name, seed) }
}

extension ProbeDefinition {
  /// Its name without the seed.
  package var base: String { Seeds.base(name, seed) }
}

extension Manifest {
  /// What a probe's random numbers start from: the run's seed, and that of the repetition. A condition's random numbers follow from its
  /// name, which holds the seed.
  func seed(of probe: ProbeDefinition) -> UInt64 {
    guard let repetition = probe.seed else { return UInt64(bitPattern: Int64(seed)) }
    return UInt64(SHA256.hex("\(seed) \(repetition)").prefix(16), radix: 16) ?? 0
  }
}

extension ConditionStep {
  /// Why another seed would give the same numbers again; nil where it may not.
  fileprivate var drawnOnce: String? {
    switch self {
    case .image(.shuffled): "the patches of an image are shuffled once, alike in all conditions"
    case .plugin, .edit, .image:
      from?.item == "random" ? "a random item is drawn once for each example, alike in all conditions" : nil
    }
  }
}

extension [ConditionStep] {
  /// - Throws: where nothing would differ between seeds.
  func checkSeeds(_ node: ManifestNode) throws {
    if let reason = compactMap(\.drawnOnce).first { throw node.refuse("'seeds' would repeat nothing: \(reason)") }
    guard contains(where: { $0.plugin != nil }) else {
      throw node.refuse("'seeds' would repeat nothing: only plugins draw random numbers", remedy: "leave it out")
    }
  }
}
