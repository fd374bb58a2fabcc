import Diagnostics
import Foundation

/// A run folder opened for writing: locked, its store migrated, its earlier rows checked against the plan.
package struct RunSession {
  package let folder: RunFolder
  package let store: RunStore
  private let lock: RunLock
  /// Whether this session has made the folder's store.
  private let isNew: Bool

  /// - Parameters:
  ///   - provenance: facts about this start, an object. With the plan's size and the digests added it goes into the
  ///     store and into `provenance.json`.
  ///   - fresh: removes the rows that are there, once the folder is locked.
  ///   - oneInstructionSet: refuses to go on where the rows that are there were computed with another one.
  package init(
    folder: RunFolder, plan: Plan, provenance: JSON, fresh: Bool = false, oneInstructionSet: Bool = true,
    pageLimit: Int? = nil
  ) throws {
    try folder.create()
    lock = try RunLock(folder)
    if fresh { try folder.clear() }
    isNew = !FileManager.default.fileExists(atPath: folder.store)
    self.folder = folder
    store = try RunStore(path: folder.store, pageLimit: pageLimit)
    try RunSession.check(store, plan, folder, oneInstructionSet: oneInstructionSet)
    let resolved = plan.manifest.resolved
    var provenance = provenance
    if case .object(let facts) = provenance {
      let size: JSON = .object([("trials", .int(plan.trials.count)), ("examples", .int(plan.dataset.examples.count))])
      let digests: [(String, JSON)] = [
        ("manifest_digest", .string(SHA256.hex(resolved.compact))), ("dataset_digest", .string(plan.datasetDigest)),
        ("plan_digest", .string(plan.digest)),
      ]
      provenance = .object(facts + [("plan", size)] + digests + [("fingerprints", plan.fingerprints.json)])
    }
    try store.beginSession(manifest: resolved, provenance: provenance)
    try store.note(plan.dataset)
    try folder.write(resolved.pretty, to: "manifest.resolved.json")
    try folder.write(provenance.pretty, to: "provenance.json")
  }

  /// Opens a shard's folder. While another process writes there (one that a cluster has given up and that still lives, for
  /// instance) a folder beside it: no file ever has two writers, and `RunMerge` takes equal rows of both once.
  package static func ofShard(
    _ number: Int, in run: RunFolder, plan: Plan, provenance: JSON, fresh: Bool, oneInstructionSet: Bool
  ) throws -> RunSession {
    var attempt = 0
    while true {
      do {
        return try RunSession(
          folder: run.shard(number, attempt: attempt), plan: plan, provenance: provenance, fresh: fresh,
          oneInstructionSet: oneInstructionSet)
      } catch ExperimentError.inUse where attempt + 1 < RunFolder.mostAttempts {
        attempt += 1
      }
    }
  }

  /// Does the session's work. If that fails before the first row of a new run, the folder is taken away again.
  package func removingIfEmpty<T>(_ work: () throws -> T) throws -> T {
    do {
      return try work()
    } catch {
      if isNew, (try? store.totals().attempts) == 0 { folder.remove() }
      throw error
    }
  }

  /// More conditions, examples, models or probes are welcome; a row that the plan does not explain is not.
  private static func check(
    _ store: RunStore, _ plan: Plan, _ folder: RunFolder, oneInstructionSet: Bool
  ) throws {
    let strangers = try store.strangers(to: plan)
    guard let before = try store.lastSession(), try store.totals().attempts > 0 else { return }
    if !strangers.isEmpty {
      let manifest = plan.manifest.differences(from: before.manifest)
      let digests = plan.fingerprints.differences(from: before.provenance["fingerprints"] ?? .null)
      throw ExperimentError.changed(folder: folder.path, differences: manifest + digests + strangers)
    }
    let (now, others) = (plan.fingerprints.instructionSet, try store.instructionSets())
    guard oneInstructionSet, let other = others.first(where: { $0 != now }) else { return }
    throw ExperimentError.changed(
      folder: folder.path, differences: ["rows were computed with \(other), and this machine has \(now)"])
  }
}

extension Fingerprints {
  package var json: JSON {
    func table(_ digests: [String: String]) -> JSON {
      .object(digests.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
    }
    return .object([
      ("models", table(models)), ("plugins", table(plugins)), ("vectors", table(vectors)), ("dtype", .string(dtype)),
      ("image_backend", .string(imageBackend)), ("numerics", .string(numerics)),
      ("instruction_set", .string(instructionSet)),
    ])
  }

  /// What changed since `other`, of what both know: an added model is no change.
  fileprivate func differences(from other: JSON) -> [String] { Fingerprints.differences(json, from: other) }

  /// The same of two that are JSON. The instruction set is not compared: see `RunSession`.
  static func differences(_ now: JSON, from other: JSON) -> [String] {
    let files = ["models", "plugins", "vectors"].flatMap { kind -> [String] in
      guard case .object(let digests)? = now[kind] else { return [] }
      return digests.compactMap { name, digest in
        guard let before = other[kind]?[name], before != digest else { return nil }
        return "the \(kind.dropLast()) '\(name)' has other bytes than before"
      }
    }
    let words = ["dtype", "image_backend", "numerics"].compactMap { key -> String? in
      guard let before = other[key], let value = now[key], before != value else { return nil }
      return "\(key) was \(before.compact) and is \(value.compact)"
    }
    return files + words
  }
}
