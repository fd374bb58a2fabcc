/// A drawing, element by element. Coordinates in pixels, y downwards.
struct SVG {
  let width: Double
  let height: Double
  private var body: [String] = []

  init(width: Double, height: Double) {
    self.width = width
    self.height = height
  }

  enum Anchor: String {
    case start, middle, end
  }

  mutating func line(_ from: (Double, Double), _ to: (Double, Double), colour: String, width: Double = 1) {
    body.append(
      "<line x1=\"\(n(from.0))\" y1=\"\(n(from.1))\" x2=\"\(n(to.0))\" y2=\"\(n(to.1))\" stroke=\"\(colour)\" "
        + "stroke-width=\"\(n(width))\"/>")
  }

  mutating func polyline(_ points: [(Double, Double)], colour: String, dashed: Bool) {
    let dash = dashed ? " stroke-dasharray=\"6 4\"" : ""
    body.append(
      "<polyline points=\"\(list(points))\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\" "
        + "stroke-linejoin=\"round\"\(dash)/>")
  }

  mutating func polygon(_ points: [(Double, Double)], colour: String, opacity: Double) {
    body.append("<polygon points=\"\(list(points))\" fill=\"\(colour)\" fill-opacity=\"\(n(opacity))\"/>")
  }

  mutating func dot(_ at: (Double, Double), colour: String) {
    body.append("<circle cx=\"\(n(at.0))\" cy=\"\(n(at.1))\" r=\"3\" fill=\"\(colour)\"/>")
  }

  mutating func text(
    _ text: String, at: (Double, Double), anchor: Anchor = .start, size: Double = 12, bold: Bool = false,
    rotated degrees: Double = 0
  ) {
    let turn = degrees == 0 ? "" : " transform=\"rotate(\(n(degrees)) \(n(at.0)) \(n(at.1)))\""
    let weight = bold ? " font-weight=\"bold\"" : ""
    body.append(
      "<text x=\"\(n(at.0))\" y=\"\(n(at.1))\" font-size=\"\(n(size))\" text-anchor=\"\(anchor.rawValue)\"\(weight)\(turn)>"
        + SVG.escaped(text) + "</text>")
  }

  /// - Parameter title: what the picture shows, for those who cannot see it.
  func document(title: String) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" width="\(n(width))" height="\(n(height))" \
    viewBox="0 0 \(n(width)) \(n(height))" role="img" font-family="Helvetica, Arial, sans-serif" fill="#222">
    <title>\(SVG.escaped(title))</title>
    <rect width="100%" height="100%" fill="#fff"/>
    \(body.joined(separator: "\n"))
    </svg>

    """
  }

  static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }

  private func list(_ points: [(Double, Double)]) -> String {
    points.map { "\(n($0.0)),\(n($0.1))" }.joined(separator: " ")
  }

  /// Two digits after the point are a hundredth of a pixel.
  private func n(_ value: Double) -> String {
    let text = fixed(value)
    return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
  }
}
