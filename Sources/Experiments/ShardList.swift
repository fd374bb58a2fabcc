import Datasets
import Diagnostics
import Foundation
import Glibc

/// A study cut into shards that machines can run apart from each other: `shards.json` in the run folder, written once.
///
/// A shard is a stretch of examples with all their models and conditions, since conditions of one example share its clean
/// pass; neighbours with the same image stay together. The list carries what the shards must agree upon, so that a merge
/// needs neither the manifest nor the models.
package struct ShardList: Sendable, Equatable {
  package static let schema = "ablate.shards/1"

  package var planDigest: String
  package var datasetDigest: String
  package var manifest: JSON
  package var fingerprints: JSON
  /// The digest of each probe and built-in reading, in the plan's order.
  package var readings: [Reading]
  /// Refuse rows that were computed on different instruction sets; else they are recorded.
  package var oneInstructionSet: Bool
  package var shards: [Shard]

  package struct Reading: Sendable, Equatable {
    package var name: String
    package var digest: String
  }

  package struct Shard: Sendable, Equatable {
    /// What it is estimated to cost, in the unit of the costs that the list was made from.
    package var cost: Int
    package var examples: [String]
  }

  /// - Parameter costs: one per example of the plan, each above 0.
  /// - Throws: `shards` where there are fewer images than shards.
  package init(_ plan: Plan, costs: [Int], count: Int, oneInstructionSet: Bool = false) throws {
    planDigest = plan.digest
    datasetDigest = plan.datasetDigest
    manifest = plan.manifest.resolved
    fingerprints = plan.fingerprints.json
    readings = plan.probes.map { Reading(name: $0.name, digest: $0.digest) }
    self.oneInstructionSet = oneInstructionSet
    shards = try ShardList.cut(plan.dataset.examples, costs: costs, into: count)
  }

  /// Cuts between images, at the equal shares of the cost: no shard is further from its share than one image costs.
  static func cut(_ examples: [Example], costs: [Int], into count: Int) throws -> [Shard] {
    var images: [Shard] = []
    for (index, example) in examples.enumerated() {
      if index > 0, examples[index - 1].imagePath == example.imagePath {
        images[images.count - 1].examples.append(example.id)
        images[images.count - 1].cost += costs[index]
      } else {
        images.append(Shard(cost: costs[index], examples: [example.id]))
      }
    }
    guard (1...max(1, images.count)).contains(count) else {
      throw ExperimentError.shards(
        folder: "", what: "\(count) shards of \(images.count) images",
        remedy: "a shard has one image or more: give 1 to \(images.count)", exit: .usage)
    }
    let total = images.reduce(0) { $0 + $1.cost }
    var shards: [Shard] = []
    var (next, before) = (0, 0)
    for number in 1...count {
      var shard = Shard(cost: 0, examples: [])
      let spare = images.count - (count - number)
      while next < spare,
        shard.examples.isEmpty || number == count
          || (before + images[next].cost / 2) * count < total * number
      {
        shard.cost += images[next].cost
        shard.examples += images[next].examples
        before += images[next].cost
        next += 1
      }
      shards.append(shard)
    }
    return shards
  }

  /// - Parameter number: from 1.
  package func part(_ number: Int, of plan: Plan) -> Plan { plan.part(of: Set(shards[number - 1].examples)) }
}

// MARK: the file

extension ShardList {
  package var json: JSON {
    .object([
      ("schema", .string(ShardList.schema)), ("plan_digest", .string(planDigest)),
      ("dataset_digest", .string(datasetDigest)), ("one_instruction_set", .bool(oneInstructionSet)),
      ("fingerprints", fingerprints), ("manifest", manifest),
      ("readings", .object(readings.map { ($0.name, .string($0.digest)) })),
      ("shards", .array(shards.map { .object([("cost", .int($0.cost)), ("examples", .strings($0.examples))]) })),
    ])
  }

  /// Reads the list of a run folder.
  package init(of folder: RunFolder) throws {
    guard let data = FileManager.default.contents(atPath: folder.shardList) else {
      throw ExperimentError.shards(
        folder: folder.path, what: "the run has no shard list (shards.json)",
        remedy: "write one: ablate plan MANIFEST --shards N --out \(folder.path)", exit: .missingInput)
    }
    let json = try JSON(parsing: String(decoding: data, as: UTF8.self))
    guard json["schema"]?.text == ShardList.schema, let list = ShardList(json) else {
      throw ExperimentError.shards(
        folder: folder.shardList, what: "not a shard list that this version reads (\(ShardList.schema))",
        remedy: "use the ablate that wrote it, or another run folder", exit: .badData)
    }
    self = list
  }

  private init?(_ json: JSON) {
    guard let planDigest = json["plan_digest"]?.text, let datasetDigest = json["dataset_digest"]?.text,
      let manifest = json["manifest"], let fingerprints = json["fingerprints"],
      case .object(let readings)? = json["readings"], case .bool(let one)? = json["one_instruction_set"],
      let shards = json["shards"]?.elements, !shards.isEmpty
    else { return nil }
    self.planDigest = planDigest
    self.datasetDigest = datasetDigest
    self.manifest = manifest
    self.fingerprints = fingerprints
    self.readings = readings.map { Reading(name: $0.0, digest: $0.1.text ?? "") }
    oneInstructionSet = one
    self.shards = shards.map { shard in
      guard case .int(let cost)? = shard["cost"] else { return Shard(cost: 0, examples: []) }
      return Shard(cost: cost, examples: shard["examples"]?.elements?.compactMap(\.text) ?? [])
    }
  }

  /// Writes the list into the run folder, unless the same one is there. Whoever comes first wins, also where several
  /// processes write at once.
  package func write(to folder: RunFolder) throws {
    try folder.create()
    let draft = "shards.json.\(getpid())"
    try folder.write(json.pretty, to: draft)
    defer { unlink(folder.file(draft)) }
    chmod(folder.file(draft), 0o444)
    if link(folder.file(draft), folder.shardList) == 0 { return }
    guard errno == EEXIST else {
      throw ExperimentError.file(
        path: folder.shardList, what: "cannot be written: \(String(cString: strerror(errno)))")
    }
    let there = try ShardList(of: folder)
    guard there != self else { return }
    var words = differences(from: there)
    if words.isEmpty { words = ["it has \(there.shards.count) shards, of other examples or with another setting"] }
    throw ExperimentError.shards(
      folder: folder.path, what: "the run has another shard list: " + words.joined(separator: "; "),
      remedy: "a list is never changed: give another folder with --out", exit: .badData)
  }
}

// MARK: agreement

extension ShardList {
  /// - Throws: what differs, in words, if the plan is not the one that was cut.
  package func check(_ plan: Plan, in folder: RunFolder) throws {
    let other = try ShardList(plan, costs: plan.dataset.examples.map { _ in 1 }, count: 1)
    let isOther = other.planDigest != planDigest || other.datasetDigest != datasetDigest
    try refuse(other.differences(from: self), if: isOther, folder.path)
  }

  /// The same for a store that a shard has left, by the last session in it.
  func check(_ session: RunStore.Session, of source: String) throws {
    guard let digest = session.provenance["plan_digest"]?.text else { return try refuse([], if: true, source) }
    var other = self
    other.manifest = session.manifest
    other.fingerprints = session.provenance["fingerprints"] ?? .null
    other.datasetDigest = session.provenance["dataset_digest"]?.text ?? ""
    let isOther = digest != planDigest || other.datasetDigest != datasetDigest
    try refuse(other.differences(from: self), if: isOther, source)
  }

  private func refuse(_ differences: [String], if differs: Bool, _ place: String) throws {
    guard differs else { return }
    let words = differences.isEmpty ? ["another plan, of another version of ablate"] : differences
    throw ExperimentError.shards(
      folder: place, what: "not the study that the shard list was made for: " + words.joined(separator: "; "),
      remedy: "undo the change, or plan the changed study in another folder (--out)", exit: .badData)
  }

  private func differences(from list: ShardList) -> [String] {
    let manifests = (try? parsedManifest())?.differences(from: list.manifest) ?? []
    let data =
      datasetDigest == list.datasetDigest ? [] : ["the dataset has other bytes, examples or clusters than before"]
    let (was, now) = (list.modelNames, modelNames)
    let models = was == now ? [] : ["'models' were \(was.joined(separator: ", ")), now \(now.joined(separator: ", "))"]
    return manifests + models + Fingerprints.differences(fingerprints, from: list.fingerprints) + data
  }

  private var modelNames: [String] {
    guard case .object(let models)? = fingerprints["models"] else { return [] }
    return models.map(\.0)
  }

  package func parsedManifest() throws -> Manifest { try Manifest(yaml: manifest.pretty, file: "shards.json") }
}
