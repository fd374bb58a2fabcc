import Diagnostics

/// Recursive descent over the token-selector grammar.
struct SelectorParser {
  private let text: String
  private var rest: Substring

  init(_ text: String) {
    self.text = text
    rest = text[...]
  }

  private func failure(_ problem: String, remedy: String = "") -> ModelError {
    .selector(text, problem: problem, remedy: remedy.isEmpty ? "the grammar is in docs/selectors.md" : remedy)
  }

  private mutating func skipSpace() { rest = rest.drop { $0 == " " } }

  private mutating func take(_ character: Character) -> Bool {
    skipSpace()
    guard rest.first == character else { return false }
    rest.removeFirst()
    return true
  }

  private mutating func expect(_ character: Character) throws(ModelError) {
    guard take(character) else {
      throw failure("expected '\(character)' before '\(rest.isEmpty ? "the end" : String(rest))'")
    }
  }

  func end() throws(ModelError) {
    let left = rest.drop { $0 == " " }
    if !left.isEmpty { throw failure("'\(left)' is left over") }
  }

  mutating func expression() throws(ModelError) -> TokenSelector {
    var left = try term()
    while true {
      if take("+") {
        left = .union(left, try term())
      } else if take("-") {
        left = .difference(left, try term())
      } else if take("&") {
        left = .intersection(left, try term())
      } else {
        return left
      }
    }
  }

  private mutating func term() throws(ModelError) -> TokenSelector {
    if take("(") {
      let inner = try expression()
      try expect(")")
      return inner
    }
    if take("[") {
      var slices = [try slice()]
      while take(",") { slices.append(try slice()) }
      try expect("]")
      return .indices(slices)
    }
    return try name()
  }

  private mutating func name() throws(ModelError) -> TokenSelector {
    skipSpace()
    let word = rest.prefix { $0.isLetter || $0.isNumber || "_:/#.'".contains($0) }
    guard !word.isEmpty else { throw failure("a name is missing") }
    rest.removeFirst(word.count)
    if word.hasPrefix("mask:"), word.count > 5 { return .mask(String(word.dropFirst(5))) }
    guard TokenSelector.names.contains(String(word)) else {
      throw failure(
        "no rows are called '\(word)'", remedy: suggestion(for: String(word), in: TokenSelector.names + ["mask:NAME"]))
    }
    guard word == "image" || word == "patches", take("[") else { return .named(String(word)) }
    let rows = try slice()
    try expect(",")
    let cols = try slice()
    try expect("]")
    return .grid(rows: rows, cols: cols)
  }

  private mutating func slice() throws(ModelError) -> TokenSelector.Slice {
    let first = integer()
    guard take(":") else {
      guard let first else { throw failure("an index is missing before '\(rest)'") }
      return TokenSelector.Slice(first: first, end: nil, single: true)
    }
    return TokenSelector.Slice(first: first, end: integer(), single: false)
  }

  private mutating func integer() -> Int? {
    skipSpace()
    let digits = rest.prefix { $0.isNumber || $0 == "-" }
    guard let value = Int(digits) else { return nil }
    rest.removeFirst(digits.count)
    return value
  }
}
