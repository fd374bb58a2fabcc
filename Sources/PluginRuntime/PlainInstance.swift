/// A plain function in this process with the parameters of a condition: an access where they say, and a call for each slice.
package final class PlainInstance: PluginCalls {
  private let function: PlainFunction
  private let call: PlainCall
  private let request: PlanRequest

  package var sha256: String { function.sha256 }

  package init(_ function: PlainFunction, parameters: [BoundParameter]) throws(PluginError) {
    self.function = function
    request = PlanRequest(plain: parameters, access: function.access)
    try request.checkFootprint(function.manifest)
    call = try function.bound(to: parameters)
  }

  package func plan(_ item: ItemFacts?) -> PlanRequest { request }
  package func beginLane(_ lane: UInt32, _ item: ItemFacts) {}
  package func endLane(_ lane: UInt32, readings: [Column]) {}
  package func destroy() {}

  package func fit() throws(PluginError) -> any FitCalls {
    throw .failed(plugin: function.id, at: "fit", reason: "is a plain function, which does not learn")
  }

  package func onEvent(_ place: EventPlace, _ slices: [SliceView]) throws(PluginError) {
    for slice in slices { try call(UnsafeMutableBufferPointer(start: slice.view, count: slice.count), at: place.text) }
  }
}

extension PlanRequest {
  /// What a plain function is applied to: the parameters `tower`, `site`, `layers` and `tokens`.
  init(plain parameters: [BoundParameter], access: Access) {
    func text(_ id: String, _ fallback: String) -> String {
      switch parameters.first(where: { $0.id == id })?.value {
      case .string(let text), .selector(let text): text
      default: fallback
      }
    }
    accesses = [
      AccessRequest(
        access: access, tower: text("tower", "text"), site: text("site", "resid_post"),
        layers: .selector(text("layers", "all")), heads: nil, tokens: .selector(text("tokens", "all")))
    ]
  }
}
