/// A drawing, element by element. Coordinates in pixels, y downwards. What is black on paper has the page's colour of text,
/// so that one drawing serves a light page, a dark one and a file of its own.
struct SVG {
  static let ink = "currentColor"

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

  mutating func line(
    _ from: (Double, Double), _ to: (Double, Double), colour: String = ink, width: Double = 1,
    opacity: Double = 1
  ) {
    body.append(
      "<line x1=\"\(n(from.0))\" y1=\"\(n(from.1))\" x2=\"\(n(to.0))\" y2=\"\(n(to.1))\" stroke=\"\(colour)\" "
        + "stroke-width=\"\(n(width))\" stroke-opacity=\"\(n(opacity))\"/>")
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

  /// - Parameter hollow: a ring.
  mutating func dot(_ at: (Double, Double), colour: String, radius: Double = 3, hollow: Bool = false) {
    let fill = hollow ? "fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\"" : "fill=\"\(colour)\""
    body.append("<circle cx=\"\(n(at.0))\" cy=\"\(n(at.1))\" r=\"\(n(radius))\" \(fill)/>")
  }

  mutating func rectangle(
    _ at: (Double, Double), width: Double, height: Double, colour: String, opacity: Double = 1, outline: String? = nil
  ) {
    let stroke = outline.map { " stroke=\"\($0)\" stroke-width=\"1.5\"" } ?? ""
    body.append(
      "<rect x=\"\(n(at.0))\" y=\"\(n(at.1))\" width=\"\(n(width))\" height=\"\(n(height))\" fill=\"\(colour)\" "
        + "fill-opacity=\"\(n(opacity))\"\(stroke)/>")
  }

  mutating func text(
    _ text: String, at: (Double, Double), anchor: Anchor = .start, size: Double = 12, bold: Bool = false,
    rotated degrees: Double = 0, colour: String = ink, opacity: Double = 1
  ) {
    let turn = degrees == 0 ? "" : " transform=\"rotate(\(n(degrees)) \(n(at.0)) \(n(at.1)))\""
    let weight = bold ? " font-weight=\"bold\"" : ""
    let faint = opacity < 1 ? " fill-opacity=\"\(n(opacity))\"" : ""
    body.append(
      "<text x=\"\(n(at.0))\" y=\"\(n(at.1))\" font-size=\"\(n(size))\" text-anchor=\"\(anchor.rawValue)\" "
        + "fill=\"\(colour)\"\(faint)\(weight)\(turn)>"
        + SVG.escaped(text) + "</text>")
  }

  /// A file of its own, black on white.
  ///
  /// - Parameter title: what the picture shows, for those who cannot see it.
  func document(title: String) -> String {
    element(
      title: title, attributes: " color=\"#1a1a1a\"",
      background: "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n")
  }

  /// A part of a page, in the page's colours, and little larger than it was drawn: a small picture stays one.
  func inline(title: String) -> String {
    element(title: title, attributes: " style=\"max-width:\(n(width * 1.15))px\"", background: "")
  }

  private func element(title: String, attributes: String, background: String) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" width="\(n(width))" height="\(n(height))" \
    viewBox="0 0 \(n(width)) \(n(height))" role="img" font-family="Helvetica, Arial, sans-serif"\(attributes)>
    <title>\(SVG.escaped(title))</title>
    \(background)\(body.joined(separator: "\n"))
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
