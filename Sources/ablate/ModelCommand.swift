import ArgumentParser
import Checkpoints
import Foundation
import Models

struct ModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model", abstract: "What a checkpoint is.",
    subcommands: [InspectCommand.self, AgreeCommand.self, ShuffleCommand.self])
}

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Architecture, parameters, hook-point table and memory of a checkpoint.")

  @Argument(help: "A Hugging Face checkpoint folder, org/name[@revision] in the local cache, or a bundled name.")
  var model: String
  @Flag(help: "As JSON.") var json = false

  func run() throws {
    let model = try VisionLanguageModel(folder: ModelLocator().folder(of: model), name: model)
    if json { try printJSON(facts(model)) } else { print(text(model)) }
  }

  private func facts(_ model: VisionLanguageModel) -> [String: Any] {
    let (c, vision, text) = (model.configuration, model.configuration.vision, model.configuration.text)
    let hub = HubSnapshot(folder: model.folder)
    return [
      "schema": "ablate.model/1", "architecture": c.architecture.rawValue, "folder": model.folder,
      "repository": hub?.repository ?? NSNull(), "commit": hub?.commit ?? NSNull(), "digest": model.digest,
      "parameters": model.parameterCount, "weights": model.residency.rawValue,
      "weight_types": model.elementTypes.map(\.rawValue).sorted(), "image_tokens": c.imageTokens,
      "vision": [
        "layers": vision.layers, "layers_used": c.visionLayersUsed, "width": vision.width, "heads": vision.heads,
        "image_size": vision.imageSize, "patch_size": vision.patchSize, "feature_layers": c.visionFeatureLayers,
        "select": c.visionFeatureSelect.rawValue,
      ],
      "text": [
        "family": text.family.rawValue, "layers": text.layers, "width": text.width, "heads": text.heads,
        "kv_heads": text.kvHeads, "head_width": text.headWidth, "mlp_width": text.mlpWidth,
        "vocabulary": text.vocabulary,
      ],
      "hook_points": model.hooks.all.map(\.description),
    ]
  }

  private func text(_ model: VisionLanguageModel) -> String {
    let (c, vision, text) = (model.configuration, model.configuration.vision, model.configuration.text)
    let features = c.visionFeatureLayers.map(String.init).joined(separator: ", ")
    let keyValues = 2 * text.layers * text.kvHeads * text.headWidth * 4
    var lines = [
      "\(model.name): \(c.architecture.rawValue), \(model.parameterCount) parameters in \(model.elementTypes.map(\.rawValue).sorted().joined(separator: ", "))"
        + (model.parameterCount == c.parameterCount ? "" : "; config.json describes \(c.parameterCount)"),
      "  folder     \(model.folder)",
      "  digest     \(model.digest.prefix(16))",
      "  vision     clip: \(vision.layers) layers (\(c.visionLayersUsed) used: feature layer \(features), select "
        + "\(c.visionFeatureSelect.rawValue)), width \(vision.width), \(vision.heads) heads, "
        + "\(vision.grid) x \(vision.grid) patches of \(vision.patchSize) px",
      "  projector  \(c.projectorInputs) -> \(text.width) -> \(text.width), \(c.projectorActivation.rawValue); \(imageTokens(c))",
      "  text       \(text.family.rawValue): \(text.layers) layers, width \(text.width), \(text.heads) heads (\(text.kvHeads) key-value), "
        + "MLP \(text.mlpWidth), vocabulary \(text.vocabulary)\(text.tiedEmbeddings ? ", tied" : "")",
      "  memory     weights \(megabytes(model.parameterCount * 4)) in f32, \(model.residency.description); keys and values \(keyValues) bytes a token",
      "", "hook points (axes; all can be read and written)",
    ]
    if let hub = HubSnapshot(folder: model.folder) {
      lines.insert("  repository \(hub.repository) at commit \(hub.commit)", at: 1)
    }
    for tower in Tower.allCases {
      let layers = model.hooks.layers(of: tower)
      let inside = model.hooks.sites(of: tower).map { ("\(tower.rawValue).L.\($0.rawValue)", $0) }
      let outside = Site.outsideLayers(of: tower).map { ("\(tower.rawValue).\($0.rawValue)", $0) }
      for (name, site) in outside + inside {
        let range = name.contains(".L.") ? "  L = 0-\(layers - 1)" : ""
        lines.append("  " + name.padding(toLength: 22, withPad: " ", startingAt: 0) + axes(site, tower) + range)
      }
    }
    return lines.joined(separator: "\n")
  }

  private func imageTokens(_ c: ModelConfiguration) -> String {
    guard let largest = c.gridPinpoints.max(by: { $0.width * $0.height < $1.width * $1.height }) else {
      return "\(c.imageTokens) image tokens"
    }
    let most = c.layout(width: largest.width, height: largest.height).tokens.count
    return "up to \(most) image tokens: \(c.imageTokens) of the base tile, then those of the tiles and newlines"
  }

  private func axes(_ site: Site, _ tower: Tower) -> String {
    switch (site, site.axes) {
    case (.logits, _): "[rows, vocabulary]"
    case (_, .rowsKeyValueHeads) where tower == .vision: Axes.rowsHeads.rawValue
    default: site.axes.rawValue
    }
  }

  private func megabytes(_ bytes: Int) -> String { String(format: "%.1f MB", Double(bytes) / 1e6) }
}
