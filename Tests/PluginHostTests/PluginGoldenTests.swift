import Checkpoints
import Foundation
import Models
import PluginHost
import PluginRuntime
import Tensors
import TestSupport
import Testing

/// Runs every case of every bundled plugin's golden.json. The format is described in Tools/plugins/make_golden.py, which writes
/// the numbers from transformers' activations.
@Suite(.serialized) struct PluginGoldenTests {
  @Test(arguments: `the bundled plugins`.names) func `does to the parity checkpoints what its golden cases say`(
    name: String
  ) throws {
    try checkGoldenCases(`the bundled plugins`.manifest(name))
  }

  #if arch(x86_64)
    /// Binaries of the day when the ABI was frozen; Tests/Fixtures/abi/1.0/README.md.
    @Test(arguments: frozenPlugins, [Executor.inProcess, .worker])
    func `plugins that were built with ABI 1.0 do what they did`(name: String, executor: Executor) throws {
      let path = "\(PluginWorkshop.root)/Tests/Fixtures/abi/1.0/\(name)/plugin.json"
      try checkGoldenCases(PluginManifest(path: path), executor: executor)
    }
  #endif

  @Test func `a wrong number in a golden case is seen`() throws {
    let manifest = try `the bundled plugins`.manifest("attention-mass")
    let data = try #require(FileManager.default.contents(atPath: manifest.goldenPath))
    let golden = try #require(try JSONDecoder().decode(GoldenFile.self, from: data).cases.first)
    let run = try GoldenRun(golden, manifest)
    var table = try #require(golden.expect.first { $0.table != nil })
    table.rows?[0]["image"] = .number(0.54)
    #expect(try run.complaint(table) != nil)
    table.rows?.removeFirst()
    #expect(try run.complaint(table) != nil)
    #expect(try run.complaint(GoldenExpectation(at: "logits", is: "changed")) != nil)
    #expect(try run.complaint(GoldenExpectation(at: "text.1.z", value: 0)) != nil)
    #expect(try run.complaint(GoldenExpectation(at: "text.1.z", timesClean: 2)) != nil)
    #expect(try run.complaint(GoldenExpectation(at: "text.1.z")) != nil)
    let cut = GoldenExpectation(at: "text.1.z", tolerance: 1e-5, file: "goldens/text_cut.safetensors")
    #expect(throws: CheckpointError.self) { _ = try run.complaint(cut) }
    let other = GoldenExpectation(at: "text.2.z", tolerance: 1e-5, file: "goldens/text_cut.safetensors")
    #expect(try run.complaint(other) != nil)
  }
}

/// Runs every case of a plugin's golden.json.
func checkGoldenCases(_ manifest: PluginManifest, executor: Executor = .inProcess) throws {
  let data = try #require(FileManager.default.contents(atPath: manifest.goldenPath))
  let file = try JSONDecoder().decode(GoldenFile.self, from: data)
  #expect(file.ablate == 1 && !file.cases.isEmpty)
  for golden in file.cases {
    let run = try GoldenRun(golden, manifest, executor)
    let name = "\(manifest.id): \(golden.name)"
    #expect(run.plugged.failure == nil, "\(name): \(String(describing: run.plugged.failure))")
    #expect(!golden.expect.isEmpty)
    for expectation in golden.expect {
      let complaint = try run.complaint(expectation)
      #expect(complaint == nil, "\(name): \(complaint ?? "")")
    }
  }
}

// MARK: the file

private struct GoldenFile: Decodable {
  var ablate: Int
  var cases: [GoldenCase]
}

private struct GoldenCase: Decodable {
  struct Item: Decodable {
    struct Label: Decodable {
      var field: String
      var text: String
      var ids: [Int32]
    }
    struct Mask: Decodable {
      var name: String
      var patches: [Int]
    }
    var labels: [Label]
    var masks: [Mask]
  }
  var name: String
  var model: String
  var inputs: String
  var params: [String: GoldenValue]
  var item: Item?
  var expect: [GoldenExpectation]
}

private struct GoldenExpectation: Decodable {
  enum CodingKeys: String, CodingKey {
    case at, heads, `is`, value, tolerance, file, table, keys, rows, receipt
    case timesClean = "times_clean"
  }
  struct Receipt: Decodable { var visits: String }
  var at: String?
  var heads: [Int]?
  var `is`: String?
  var value: Float?
  var timesClean: Float?
  var tolerance: Double?
  var file: String?
  var table: String?
  var keys: [String]?
  var rows: [[String: GoldenValue]]?
  var receipt: Receipt?
}

private enum GoldenValue: Decodable, Equatable {
  case number(Double)
  case text(String)
  case list([GoldenValue])
  case bool(Bool)

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else {
      self = .list(try container.decode([GoldenValue].self))
    }
  }

  var given: GivenValue {
    switch self {
    case .number(let value): value == value.rounded() ? .integer(Int64(value)) : .number(value)
    case .text(let value): .text(value)
    case .bool(let value): .bool(value)
    case .list(let values): .list(values.map(\.given))
    }
  }

  func agrees(with other: GoldenValue, tolerance: Double) -> Bool {
    guard case .number(let a) = self, case .number(let b) = other else { return self == other }
    return abs(a - b) <= tolerance * max(1, abs(a))
  }
}

// MARK: running it

/// A case run once without and once with its plugin.
private struct GoldenRun {
  let host: HostCase
  let clean: ConditionOutcome
  let plugged: ConditionOutcome

  init(_ golden: GoldenCase, _ manifest: PluginManifest, _ executor: Executor = .inProcess) throws {
    let host = try HostCase(
      golden.model, inputs: golden.inputs,
      labels: golden.item?.labels.map { ItemFacts.Label(field: $0.field, text: $0.text, ids: $0.ids) } ?? [],
      masks: Dictionary(uniqueKeysWithValues: golden.item?.masks.map { ($0.name, $0.patches) } ?? []))
    let placement = Placement(executor, .asked(by: "the test"))
    let spec = AttachmentSpec.plugin(manifest, parameters: golden.params.mapValues(\.given), placement: placement)
    let isProbe = manifest.kind == .probe
    let points = try host.model.hooks.all.filter { point in
      try golden.expect.compactMap(\.at).contains { try host.model.hooks.match($0).contains(point) }
    }
    let patterns =
      points.map { $0.site == .logits ? "logits" : "\($0)" }
      + (golden.expect.contains { $0.table != nil } ? ["text.*.z"] : [])
    self.host = host
    clean = try host.run([], at: Set(patterns).sorted())
    let outcomes = try host.run(
      [("plugged", isProbe ? [] : [spec])], probes: isProbe ? [("probe", spec)] : [], at: Set(patterns).sorted())
    plugged = try outcomes["plugged"] ?? { throw Missing(what: "plugged") }()
  }

  /// What is not as expected, or nil.
  func complaint(_ expectation: GoldenExpectation) throws -> String? {
    if expectation.receipt != nil {
      let receipt = plugged.receipts[0]
      return receipt.visitsMade == receipt.visitsPlanned && receipt.visitsMade > 0 ? nil : "\(receipt)"
    }
    if expectation.table != nil { return try tableComplaint(expectation) }
    guard let at = expectation.at else { return "an expectation without at, table or receipt" }
    for point in try host.model.hooks.match(at) {
      if let problem = try complaint(expectation, at: point) { return "\(point): \(problem)" }
    }
    return nil
  }

  private func complaint(_ expectation: GoldenExpectation, at point: HookPoint) throws -> String? {
    let got = pick(try plugged["\(point)"], expectation.heads, point)
    let was = pick(try clean["\(point)"], expectation.heads, point)
    let same = got.map(\.bitPattern) == was.map(\.bitPattern)
    if let relation = expectation.is { return same == (relation == "clean") ? nil : "not \(relation)" }
    if let value = expectation.value { return got.allSatisfy { $0 == value } ? nil : "not all \(value)" }
    if let factor = expectation.timesClean {
      return zip(got, was).allSatisfy { $0 == $1 * factor } ? nil : "not \(factor) times the clean pass"
    }
    guard let file = expectation.file, let tolerance = expectation.tolerance else { return "expects nothing" }
    let goldens = try SafetensorsFile("\(host.folder)/\(file)")
    let want = pick(try goldens.floats(point.site == .logits ? "logits" : "\(point)"), expectation.heads, point)
    let worst = distance(got, want)
    return worst <= tolerance ? nil : "\(worst) away from \(file)"
  }

  /// The entries of some heads; of all where none are named.
  private func pick(_ tensor: Tensor, _ heads: [Int]?, _ point: HookPoint) -> [Float] {
    guard let heads else { return tensor.values }
    let axis = point.site.axes == .headsRowsKeys ? 0 : 1
    let inner = tensor.shape[(axis + 1)...].reduce(1, *)
    return tensor.values.enumerated().filter { heads.contains($0.offset / inner % tensor.shape[axis]) }.map(\.element)
  }

  private func tableComplaint(_ expectation: GoldenExpectation) throws -> String? {
    guard let table = plugged.tables.first(where: { $0.table == expectation.table }) else { return "no such table" }
    let keys = expectation.keys ?? []
    let got = rows(of: table.columns)
    let want = expectation.rows ?? []
    guard got.count == want.count else { return "\(got.count) rows, expected \(want.count)" }
    for row in want {
      let matching = got.filter { candidate in keys.allSatisfy { candidate[$0] == row[$0] } }
      guard matching.count == 1 else { return "\(matching.count) rows for \(keys.map { row[$0] })" }
      for (column, value) in row
      where matching[0][column]?.agrees(with: value, tolerance: expectation.tolerance ?? 0) != true {
        return "\(column) is \(String(describing: matching[0][column])), expected \(value)"
      }
    }
    return nil
  }

  private func rows(of columns: [Column]) -> [[String: GoldenValue]] {
    (0..<(columns.first?.values.count ?? 0)).map { row in
      Dictionary(
        uniqueKeysWithValues: columns.map { column in
          let value: GoldenValue =
            switch column.values {
            case .bools(let all): .bool(all[row])
            case .integers(let all): .number(Double(all[row]))
            case .numbers(let all): .number(all[row])
            case .strings(let all): .text(all[row])
            }
          return (column.name, value)
        })
    }
  }
}
