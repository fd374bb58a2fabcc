import Diagnostics

/// The type of a plain C function in a deliberately small language: `i32(f32*[n]:rw, i64 n, f32 factor)`.
///
///     signature = ("i32" | "void") "(" argument { "," argument } ")"
///     argument  = ("i32" | "i64" | "f32" | "f64") name
///               | "f32*[" name "]:" ("r" | "w" | "rw") [ name ]
///
/// An `i32` result is a status, 0 for success. Structs, strings and variadic functions are where foreign calls break
/// without a word, so there are none.
package struct PlainSignature: Sendable, Equatable {
  package enum Result: String, Sendable { case status = "i32", none = "void" }
  package enum Scalar: String, CaseIterable, Sendable { case i32, i64, f32, f64 }

  package enum Argument: Sendable, Equatable {
    case scalar(Scalar, name: String)
    /// `length` names the argument that holds the number of elements.
    case view(length: String, access: Access)
  }

  package static let maxArguments = 12

  package var result: Result
  package var arguments: [Argument]

  struct Misfit: Error {
    var text: String
  }

  init(_ text: String) throws(Misfit) {
    let packed = text.trimmingPrefix { $0 == " " }
    guard let open = packed.firstIndex(of: "("), packed.last == ")" else {
      throw Misfit(text: "'\(text)' is not a signature: result(argument, ...)")
    }
    let head = packed[..<open]
    guard let result = Result(rawValue: String(head)) else {
      throw Misfit(text: "'\(head)' is no result type: i32 (a status) or void")
    }
    self.result = result
    arguments = []
    let inner = packed[packed.index(after: open)...].dropLast()
    for part in inner.split(separator: ",", omittingEmptySubsequences: false) {
      arguments.append(try Self.argument(part.split(separator: " ").map(String.init)))
    }
    try checkWhole()
  }

  private static func argument(_ words: [String]) throws(Misfit) -> Argument {
    guard let type = words.first else { throw Misfit(text: "an argument is empty") }
    if type.hasPrefix("f32*["), let close = type.firstIndex(of: "]") {
      let length = String(type[type.index(type.startIndex, offsetBy: 5)..<close])
      let rest = String(type[type.index(after: close)...])
      guard rest.hasPrefix(":"), let access = Access(String(rest.dropFirst())), words.count <= 2, isName(length) else {
        throw Misfit(text: "'\(words.joined(separator: " "))' is no view: f32*[n]:r, :w or :rw")
      }
      return .view(length: length, access: access)
    }
    guard let scalar = Scalar(rawValue: type) else {
      throw Misfit(text: "'\(type)' is no argument type: i32, i64, f32, f64 or f32*[n]:rw")
    }
    guard words.count == 2, isName(words[1]) else { throw Misfit(text: "'\(type)' needs one name: \(type) n") }
    return .scalar(scalar, name: words[1])
  }

  private static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, !(48...57).contains(first) else { return false }
    return text.utf8.allSatisfy {
      (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 95
    }
  }

  private func checkWhole() throws(Misfit) {
    guard arguments.count <= Self.maxArguments else {
      throw Misfit(text: "\(arguments.count) arguments; at most \(Self.maxArguments)")
    }
    let names = arguments.compactMap(\.name)
    guard Set(names).count == names.count else { throw Misfit(text: "an argument's name is used twice") }
    let views = arguments.compactMap { argument -> (String, Access)? in
      guard case .view(let length, let access) = argument else { return nil }
      return (length, access)
    }
    guard views.count == 1, let (length, access) = views.first else {
      throw Misfit(text: "there must be exactly one view, f32*[n]:rw; there are \(views.count)")
    }
    guard access.contains(.write) else { throw Misfit(text: "the view is never written, so nothing could change") }
    let holder = arguments.first { $0.name == length }
    guard case .scalar(let type, _) = holder, type == .i64 || type == .i32 else {
      throw Misfit(text: "no integer argument is named '\(length)', the view's length")
    }
  }
}

extension PlainSignature.Argument {
  var name: String? {
    guard case .scalar(_, let name) = self else { return nil }
    return name
  }
}

extension PluginManifest {
  /// The "plain" object: symbol, signature, bind, known_answer.
  func readPlain(_ field: Field) throws(PluginError) -> PlainSpec {
    let fields = try field.object(keys: ["symbol", "signature", "bind", "known_answer"])
    let text = try fields.require("signature")
    let signature: PlainSignature
    do { signature = try PlainSignature(text.text()) } catch let misfit as PlainSignature.Misfit {
      throw .signature(path: path, at: text.at, problem: misfit.text)
    } catch let error as PluginError { throw error } catch { throw text.error("\(error)") }
    let bindings = try readBindings(fields.require("bind"), signature)
    let answer = try fields.require("known_answer").object(keys: ["input", "params", "expect", "tolerance"])
    var given: [String: GivenValue] = [:]
    if let params = try answer["params"]?.anyObject() {
      for key in params.values.keys.sorted() { given[key] = try params[key]?.given() }
    }
    let known = PlainSpec.KnownAnswer(
      input: try answer.require("input").floats(), params: given, expect: try answer.require("expect").floats(),
      tolerance: Float(try answer["tolerance"]?.number() ?? 0))
    guard !known.input.isEmpty, known.input.count == known.expect.count else {
      throw try answer.require("expect").error("\(known.expect.count) values for an input of \(known.input.count)")
    }
    guard known.input != known.expect else {
      throw try answer.require("expect").error("equals the input: it proves nothing")
    }
    for site in ["tower", "site", "layers", "tokens"] where !params.contains(where: { $0.id == site }) {
      throw .manifest(
        path: path, at: "params", problem: "there is no '\(site)'",
        remedy: "a plain function is told where it is applied by the parameters tower, site, layers and tokens")
    }
    return PlainSpec(
      symbol: try fields.require("symbol").text(), signature: signature, bindings: bindings, knownAnswer: known)
  }

  /// "view.data", "view.count" or "param.NAME" for each argument, in order, and of a fitting type.
  private func readBindings(_ field: Field, _ signature: PlainSignature) throws(PluginError) -> [PlainSpec.Binding] {
    let texts = try field.list()
    guard texts.count == signature.arguments.count else {
      throw field.error("\(texts.count) bindings for \(signature.arguments.count) arguments")
    }
    let length = signature.arguments.compactMap { argument -> String? in
      guard case .view(let length, _) = argument else { return nil }
      return length
    }.first
    var bindings: [PlainSpec.Binding] = []
    for (entry, argument) in zip(texts, signature.arguments) {
      let text = try entry.text()
      switch (text, argument) {
      case ("view.data", .view): bindings.append(.viewData)
      case ("view.count", .scalar(_, let name)) where name == length: bindings.append(.viewCount)
      case (_, .scalar(let type, let name)) where text.hasPrefix("param.") && name != length:
        bindings.append(.parameter(try fitting(String(text.dropFirst(6)), type, entry)))
      default:
        throw .signature(path: path, at: entry.at, problem: "'\(text)' cannot fill \(argument.spelled)")
      }
    }
    return bindings
  }

  private func fitting(_ id: String, _ type: PlainSignature.Scalar, _ entry: Field) throws(PluginError) -> String {
    guard let spec = params.first(where: { $0.id == id }) else {
      throw entry.error("no parameter '\(id)'", suggestion(for: id, in: params.map(\.id)))
    }
    let fits = type == .f32 || type == .f64 ? spec.type == .f64 : spec.type == .i64 || spec.type == .bool
    guard fits else {
      throw .signature(
        path: path, at: entry.at, problem: "parameter '\(id)' is \(spec.type.name), the argument \(type)")
    }
    guard spec.required || spec.defaultValue != nil else {
      throw entry.error("parameter '\(id)' must be required or have a default: the argument is always passed")
    }
    return id
  }
}

extension PlainSignature: CustomStringConvertible {
  /// With one space between a type and its name: what is shown, and what a lockfile pins.
  package var description: String {
    let all = arguments.map { argument in
      if case .view(_, let access) = argument { "\(argument.spelled):\(access)" } else { argument.spelled }
    }
    return "\(result.rawValue)(\(all.joined(separator: ", ")))"
  }
}

extension PlainSignature.Argument {
  var spelled: String {
    switch self {
    case .scalar(let type, let name): "\(type.rawValue) \(name)"
    case .view(let length, _): "f32*[\(length)]"
    }
  }
}
