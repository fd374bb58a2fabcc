import Checkpoints
import Diagnostics

/// The three parts of a LLaVA-type model.
package enum Tower: String, CaseIterable, Sendable {
  case vision, projector, text
}

/// A place inside a tower, in TransformerLens' spelling. docs/hook-points.md is the published table.
package enum Site: String, CaseIterable, Sendable {
  case embed
  case residPre = "resid_pre"
  case q, k, v
  case rotQ = "rot_q"
  case rotK = "rot_k"
  case attnScores = "attn_scores"
  case pattern, z
  case attnOut = "attn_out"
  case residMid = "resid_mid"
  case mlpPre = "mlp_pre"
  case mlpPost = "mlp_post"
  case mlpOut = "mlp_out"
  case residPost = "resid_post"
  case finalNorm = "final_norm"
  case logits
  case `in`, mid, out

  /// Sites of a transformer layer, in the order of the pass.
  package static let ofLayer: [Site] = [
    .residPre, .q, .k, .v, .rotQ, .rotK, .attnScores, .pattern, .z, .attnOut, .residMid, .mlpPre, .mlpPost, .mlpOut,
    .residPost,
  ]

  /// The sites of `tower` that stand outside its layers.
  package static func outsideLayers(of tower: Tower) -> [Site] {
    switch tower {
    case .vision: [.embed]
    case .projector: [.in, .mid, .out]
    case .text: [.embed, .finalNorm, .logits]
    }
  }

  package var axes: Axes {
    switch self {
    case .q, .z, .rotQ: .rowsHeads
    case .k, .v, .rotK: .rowsKeyValueHeads
    case .attnScores, .pattern: .headsRowsKeys
    default: .rowsWidth
    }
  }
}

/// How an activation is laid out where it is captured or shown to a plugin.
package enum Axes: String, Sendable {
  case rowsWidth = "[rows, width]"
  case rowsHeads = "[rows, heads, head_width]"
  case rowsKeyValueHeads = "[rows, kv_heads, head_width]"
  case headsRowsKeys = "[heads, rows, keys]"
}

/// `tower.layer.site`, for instance `text.12.pattern`; `tower.site` outside the layers.
package struct HookPoint: Hashable, Sendable, CustomStringConvertible {
  package var tower: Tower
  /// nil outside the layers.
  package var layer: Int?
  package var site: Site

  package init(_ tower: Tower, _ layer: Int?, _ site: Site) {
    self.tower = tower
    self.layer = layer
    self.site = site
  }

  package var description: String {
    if let layer { "\(tower.rawValue).\(layer).\(site.rawValue)" } else { "\(tower.rawValue).\(site.rawValue)" }
  }
}

/// The hook points of one model: what exists, with widths; everything that is parsed or matched is checked against it.
package struct HookTable: Sendable {
  /// Vision layers that the projector's input depends on; those behind them are never computed.
  package let visionLayers: Int
  package let visionLayersInCheckpoint: Int
  package let textLayers: Int
  /// Llama rotates queries and keys; CLIP has learned positions.
  package static func hasRope(_ tower: Tower) -> Bool { tower == .text }

  package init(_ configuration: ModelConfiguration) {
    visionLayers = configuration.visionLayersUsed
    visionLayersInCheckpoint = configuration.vision.layers
    textLayers = configuration.text.layers
  }

  package func layers(of tower: Tower) -> Int {
    switch tower {
    case .vision: visionLayers
    case .projector: 0
    case .text: textLayers
    }
  }

  package func sites(of tower: Tower) -> [Site] {
    guard tower != .projector else { return [] }
    return Site.ofLayer.filter { HookTable.hasRope(tower) || ($0 != .rotQ && $0 != .rotK) }
  }

  /// Every hook point, in the order of the pass.
  package var all: [HookPoint] {
    Tower.allCases.flatMap { tower in
      let outside = Site.outsideLayers(of: tower).map { HookPoint(tower, nil, $0) }
      let inside = (0..<layers(of: tower)).flatMap { layer in sites(of: tower).map { HookPoint(tower, layer, $0) } }
      return outside.filter { $0.site == .embed } + inside + outside.filter { $0.site != .embed }
    }
  }

  /// Points that match `tower.layers.site`: `text.*.resid_post`, `vision.0-2.pattern`, `text.-1.z`, `logits`.
  package func match(_ pattern: String) throws(ModelError) -> [HookPoint] {
    let parts = (pattern == "logits" ? "text.logits" : pattern).split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3, let last = parts.last else {
      throw .hookPoint(
        pattern, problem: "expected tower.layers.site or tower.site", remedy: "for example text.*.resid_post")
    }
    let tower = try self.tower(String(parts[0]), in: pattern)
    let site = try self.site(String(last), in: pattern)
    if parts.count == 2 { return [try point(tower, nil, site, in: pattern)] }
    let layers: [Int]
    do {
      layers = try LayerSelector(parts[1] == "*" ? "all" : String(parts[1])).resolve(self, tower: tower)
    } catch {
      guard case .selector(_, _, let problem, let remedy) = error else { throw error }
      throw .hookPoint(pattern, problem: problem, remedy: remedy)
    }
    return try layers.map { layer throws(ModelError) in try point(tower, layer, site, in: pattern) }
  }

  /// Points that match any of the patterns, each once.
  package func match(_ patterns: [String]) throws(ModelError) -> [HookPoint] {
    var points: [HookPoint] = []
    for pattern in patterns { for point in try match(pattern) where !points.contains(point) { points.append(point) } }
    return points
  }

  /// The point, if this model has it.
  package func point(
    _ tower: Tower, _ layer: Int?, _ site: Site, in text: String
  ) throws(ModelError) -> HookPoint {
    let known = layer == nil ? Site.outsideLayers(of: tower) : sites(of: tower)
    guard known.contains(site) else {
      throw .hookPoint(
        text,
        problem:
          "\(tower.rawValue) has no site '\(site.rawValue)' \(layer == nil ? "outside its layers" : "in a layer")",
        remedy: "there: " + known.map(\.rawValue).joined(separator: ", "))
    }
    return HookPoint(tower, layer, site)
  }

  package func tower(_ text: String, in pattern: String) throws(ModelError) -> Tower {
    guard let tower = Tower(rawValue: text) else {
      let names = Tower.allCases.map(\.rawValue)
      throw .hookPoint(pattern, problem: "no tower '\(text)'", remedy: suggestion(for: text, in: names))
    }
    return tower
  }

  package func site(_ text: String, in pattern: String) throws(ModelError) -> Site {
    guard let site = Site(rawValue: text) else {
      let names = Site.allCases.map(\.rawValue)
      throw .hookPoint(pattern, problem: "no site '\(text)'", remedy: suggestion(for: text, in: names))
    }
    return site
  }
}
