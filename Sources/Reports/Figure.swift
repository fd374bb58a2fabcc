import Foundation

/// A picture of the report with the numbers that are in it.
package struct Figure: Sendable {
  /// Of its files: `figures/NAME.svg` and `figures/NAME.csv`.
  package let name: String
  /// What it shows, for those who cannot see it.
  package let title: String
  package let caption: String
  let drawing: SVG
  let table: CSV

  package var svg: String { drawing.document(title: title) }
  package var csv: String { table.text }
}

/// Comma-separated values after RFC 4180, with `\n` for line ends.
struct CSV: Sendable {
  var header: [String]
  var rows: [[String]] = []

  var text: String { ([header] + rows).map { $0.map(CSV.quoted).joined(separator: ",") + "\n" }.joined() }

  static func quoted(_ field: String) -> String {
    let isPlain = !field.contains { ",\"\n\r".contains($0) || $0.isNewline }
    return isPlain ? field : "\"" + field.replacing("\"", with: "\"\"") + "\""
  }

  /// All digits of a number; empty for nothing.
  static func number(_ value: Double?) -> String { value.map { $0.isFinite ? "\($0)" : "" } ?? "" }
}

/// Round numbers that cover a range, for an axis.
struct Ticks {
  let values: [Double]
  let digits: Int

  /// - Parameter about: how many there should be.
  init(_ range: ClosedRange<Double>, about: Int = 5) {
    let span = max(range.upperBound - range.lowerBound, 1e-9)
    let magnitude = pow(10, floor(log10(span / Double(about))))
    let step = [1, 2, 5, 10].map { $0 * magnitude }.first { span / $0 <= Double(about) + 0.5 } ?? 10 * magnitude
    let first = Int((range.lowerBound / step).rounded(.down)), last = Int((range.upperBound / step - 1e-9).rounded(.up))
    values = (first...max(first, last)).map { Double($0) * step }
    digits = max(0, Int(-floor(log10(step) + 1e-9)))
  }

  var range: ClosedRange<Double> { (values.first ?? 0)...(values.last ?? 1) }
}
