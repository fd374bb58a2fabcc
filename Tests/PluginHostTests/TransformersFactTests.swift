import Checkpoints
import Foundation
import Models
import PluginHost
import PluginRuntime
import Testing

/// What the bundled plugins say and do, held against what transformers computed: beyond the golden cases, on the other checkpoints.
@Suite(.serialized) struct TransformersFactTests {
  @Test(arguments: ["mha", "gqa", "tied"], ["vision", "text"])
  func `attention-knockout is the ablation that transformers computed`(name: String, tower: String) throws {
    let host = try HostCase(name)
    let goldens = try SafetensorsFile("\(host.folder)/goldens/\(tower)_cut.safetensors")
    let names = goldens.entries.keys.filter { !["input_ids", "pixel_values", "generated_ids"].contains($0) }.sorted()
    let outcome = try host.run([.bundled("attention-knockout", ["tower": tower])], at: names)
    #expect(names.count >= 15 && outcome.failure == nil)
    for name in names {
      let point = name == "logits" ? "text.logits" : name
      #expect(distance(try outcome[point].values, try goldens.floats(name).values) <= 1e-5, "\(name)")
    }
    let clean = try SafetensorsFile("\(host.folder)/goldens/clean.safetensors").floats("logits")
    #expect(distance(try outcome["text.logits"].values, clean.values) > 1e-3)
  }

  @Test(arguments: ["mha", "gqa", "tied"])
  func `the lens at the last layer gives the ranks and log-probabilities of transformers' logits`(name: String) throws {
    let ids: [Int32] = [3, 100, 77]
    let labels = ids.map { ItemFacts.Label(field: "part/\($0)", text: "\($0)", ids: [$0]) }
    let host = try HostCase(name, labels: labels)
    let logits = try SafetensorsFile("\(host.folder)/goldens/clean.safetensors").floats("logits")
    let lens = try AttachmentSpec.bundled(
      "logit-lens", ["sites": "text.resid_post", "layers": "-1", "tokens": "all", "vocabulary": "all"])
    let outcome = try #require(host.run([("clean", [])], probes: [("lens", lens)])["clean"])
    let table = try #require(outcome.tables.first { $0.table == "logit_lens" })
    let columns = Dictionary(uniqueKeysWithValues: table.columns.map { ($0.name, $0.values) })
    guard case .integers(let rows) = columns["row"], case .strings(let words) = columns["label"],
      case .numbers(let ranks) = columns["rank"], case .numbers(let probabilities) = columns["logprob"]
    else { throw Missing(what: "a column") }
    #expect(rows.count == host.input.ids.count * ids.count && Set(rows).count == host.input.ids.count)
    let width = logits.shape[1]
    for (i, row) in rows.enumerated() {
      let all = logits.values[(Int(row) * width)..<((Int(row) + 1) * width)].map(Double.init)
      let target = all[try #require(Int(words[i].dropFirst(5)))]
      // Entries nearer than the parity tolerance may stand on either side.
      let range = Double(1 + all.count { $0 > target + 1e-4 })...Double(all.count { $0 > target - 1e-4 })
      #expect(range.contains(ranks[i]), "row \(row), \(words[i])")
      #expect(abs(probabilities[i] - (target - log(all.reduce(0) { $0 + exp($1) }))) <= 1e-4)
    }
  }

  @Test(arguments: ["mha", "gqa", "tied"])
  func `attention-mass is the sum of transformers' pattern over the image`(name: String) throws {
    let host = try HostCase(name)
    let goldens = try SafetensorsFile("\(host.folder)/goldens/clean.safetensors")
    let probe = try AttachmentSpec.bundled("attention-mass")
    let outcome = try #require(host.run([("clean", [])], probes: [("mass", probe)])["clean"])
    let columns = Dictionary(uniqueKeysWithValues: outcome.tables[0].columns.map { ($0.name, $0.values) })
    guard case .integers(let layers) = columns["layer"], case .integers(let heads) = columns["head"],
      case .numbers(let masses) = columns["image"]
    else { throw Missing(what: "a column") }
    let image = try TokenSelector("image").resolve(.text(host.input.segments, masks: [:]))
    #expect(layers.count == host.model.hooks.textLayers * host.model.configuration.text.heads)
    for i in layers.indices {
      let pattern = try goldens.floats("text.\(layers[i]).pattern")
      let start = (Int(heads[i]) * host.input.ids.count + host.lastRow) * host.input.ids.count
      #expect(abs(masses[i] - image.reduce(0) { $0 + Double(pattern.values[start + $1]) }) <= 1e-5)
    }
  }
}
