import Models
import PluginRuntime

/// What a probe that learns reads of one lane at one hook point: one vector per label and row.
package struct Features: Sendable, Equatable {
  /// The probe's name.
  package var probe: String
  /// As text, for instance `text.3.resid_post`.
  package var point: String
  package var places: [Place]
  package var width: Int
  /// [places, width]; of a site with heads, one head after the other.
  package var values: [Float]

  /// Where a vector was read, and what it is to be taken for.
  package struct Place: Sendable, Equatable {
    package var row: Int
    /// The label's field, `part/leg#2`.
    package var field: String
    /// The class: the label's word.
    package var text: String

    package init(row: Int, field: String, text: String) { (self.row, self.field, self.text) = (row, field, text) }
  }

  package init(probe: String, point: String, places: [Place], width: Int, values: [Float]) {
    (self.probe, self.point, self.places, self.width, self.values) = (probe, point, places, width, values)
  }
}

/// An activation that nothing can be learned from.
struct NotFinite: Error {
  var attachment: Int
  var point: HookPoint
  var row: Row
}

extension LaneEnd {
  /// The captures of probes that learn, in the order of the pass.
  func features() throws(NotFinite) -> [Features] {
    var found: [Features] = []
    for capture in output.results.captures where capture.plugin != Program.reader {
      let reading = resolver.readings[capture.reading]
      guard reading.request.operation == .capture else { continue }
      found.append(try features(capture, reading))
    }
    return found
  }

  private func features(
    _ capture: LaneResults.Capture, _ reading: Resolver.ResolvedReading
  ) throws(NotFinite) -> Features {
    let width = capture.tensor.count / max(1, capture.rows.count)
    let index = Dictionary(capture.rows.enumerated().map { ($1, $0) }) { first, _ in first }
    let item = resolver.items[reading.attachment]
    var features = Features(
      probe: probeNames[reading.attachment], point: "\(capture.point)", places: [], width: width, values: [])
    for label in item.labels where label.belongs(to: reading.request.labels) {
      // The program was made of these rows: they resolve.
      let rows = (try? item.rows(of: reading.request.tokens(of: label), in: capture.point.tower)) ?? []
      for row in rows {
        guard let place = index[row] else { continue }
        let values = UnsafeBufferPointer(start: capture.tensor.base + place * width, count: width)
        guard values.allSatisfy(\.isFinite) else {
          throw NotFinite(attachment: reading.attachment, point: capture.point, row: row)
        }
        features.places.append(.init(row: row, field: label.field, text: label.text))
        features.values += values
      }
    }
    return features
  }
}

extension ReadingRequest {
  /// The rows of a capture that stand for a label.
  func tokens(of label: ItemFacts.Label) -> TokenRequest { .selector(tokens ?? "mask:" + label.field) }

  /// `text.all.resid_post of part at their masks`
  var captureWords: String {
    let layers =
      switch layers {
      case .range(let first, let last): "\(first)..\(last)"
      case .selector(let text): text
      }
    return "\(tower).\(layers).\(site) of \(labels) at \(tokens ?? "their masks")"
  }
}
