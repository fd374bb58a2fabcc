import Diagnostics

/// A parameter as `plugin.json` and the library's tables declare it.
package struct ParameterSpec: Sendable, Equatable {
  /// The raw values are ABLATE_T_*; the names are those of `plugin.json`.
  package enum Kind: UInt32, CaseIterable, Sendable {
    case bool = 1
    case i64, f64, str, i64v, strv, selector, tensor

    package var name: String { "\(self)" }

    init?(name: String) {
      guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
      self = found
    }
  }

  package var id: String
  package var type: Kind
  package var doc: String
  package var unit: String
  /// Inclusive; both nil: unbounded.
  package var min: Double?
  package var max: Double?
  package var defaultValue: ParameterValue?
  package var choices: [String]
  package var required: Bool
}

/// A value as it was written in a manifest or on the command line, before its parameter's type is known.
package enum GivenValue: Sendable, Equatable {
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  /// On the command line everything is text: "0.5", "true", "3+7+9".
  case text(String)
  case list([GivenValue])
  case tensor(TensorValue)
}

/// Dense f32 values in row-major order.
package struct TensorValue: Sendable, Equatable {
  package var shape: [Int]
  package var values: [Float]

  package init(shape: [Int], values: [Float]) {
    self.shape = shape
    self.values = values
  }
}

/// A parameter's value after it was checked against its specification.
package enum ParameterValue: Sendable, Equatable {
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case integers([Int64])
  case strings([String])
  case selector(String)
  case tensor(TensorValue)
}

/// A checked value under its parameter's name.
package struct BoundParameter: Sendable, Equatable {
  package var id: String
  package var type: ParameterSpec.Kind
  package var value: ParameterValue
}

extension PluginManifest {
  /// The parameters in the order of the manifest: what was given, else the default. Those that are neither given nor
  /// have a default are left out. Unknown names, wrong types, values out of range and missing required ones are errors.
  package func resolve(_ given: [String: GivenValue]) throws(PluginError) -> [BoundParameter] {
    for name in given.keys.sorted() where !params.contains(where: { $0.id == name }) {
      throw .parameter(
        plugin: id, parameter: name, problem: "no such parameter", remedy: suggestion(for: name, in: params.map(\.id)))
    }
    var bound: [BoundParameter] = []
    for spec in params {
      if let value = given[spec.id] {
        let checked: ParameterValue
        do { checked = try spec.check(value) } catch {
          throw .parameter(plugin: id, parameter: spec.id, problem: error.text, remedy: spec.doc)
        }
        bound.append(BoundParameter(id: spec.id, type: spec.type, value: checked))
      } else if let value = spec.defaultValue {
        bound.append(BoundParameter(id: spec.id, type: spec.type, value: value))
      } else if spec.required {
        throw .parameter(plugin: id, parameter: spec.id, problem: "is required and was not given", remedy: spec.doc)
      }
    }
    return bound
  }
}

extension ParameterSpec {
  /// Why a value does not fit; the caller knows where it stood.
  struct Misfit: Error {
    var text: String
  }

  /// Reads `given` as this parameter's type and checks range and choices.
  func check(_ given: GivenValue) throws(Misfit) -> ParameterValue {
    switch type {
    case .bool: return .bool(try boolean(given))
    case .i64: return .integer(try integer(given))
    case .f64: return .number(try number(given))
    case .str: return .string(try choice(text(given)))
    case .selector: return .selector(try text(given))
    case .i64v:
      var all: [Int64] = []
      for element in elements(given) { all.append(try integer(element)) }
      return .integers(all)
    case .strv:
      var all: [String] = []
      for element in elements(given) { all.append(try choice(text(element))) }
      return .strings(all)
    case .tensor:
      guard case .tensor(let tensor) = given else {
        throw Misfit(text: "must be a tensor of a file: file.safetensors#name")
      }
      return .tensor(tensor)
    }
  }

  private func elements(_ given: GivenValue) -> [GivenValue] {
    switch given {
    case .list(let all): all
    case .text(let text): text.split { $0 == "+" || $0 == "," || $0 == " " }.map { .text(String($0)) }
    default: [given]
    }
  }

  private func boolean(_ given: GivenValue) throws(Misfit) -> Bool {
    switch given {
    case .bool(let value): return value
    case .text("true"): return true
    case .text("false"): return false
    default: throw Misfit(text: "must be true or false, not \(given.spelled)")
    }
  }

  private func integer(_ given: GivenValue) throws(Misfit) -> Int64 {
    let value: Int64? =
      switch given {
      case .integer(let value): value
      case .number(let value): Int64(exactly: value)
      case .text(let text): Int64(text)
      default: nil
      }
    guard let value else { throw Misfit(text: "must be an integer, not \(given.spelled)") }
    try checkRange(Double(value))
    return value
  }

  private func number(_ given: GivenValue) throws(Misfit) -> Double {
    let value: Double? =
      switch given {
      case .integer(let value): Double(value)
      case .number(let value): value
      case .text(let text): Double(text)
      default: nil
      }
    guard let value, value.isFinite else { throw Misfit(text: "must be a finite number, not \(given.spelled)") }
    try checkRange(value)
    return value
  }

  /// A selector such as 3 arrives as a number when a manifest is read.
  private func text(_ given: GivenValue) throws(Misfit) -> String {
    if case .text(let text) = given, !text.utf8.contains(0) {
      // Plugins copy text into fixed buffers, and what they give back is read up to the same length.
      guard text.utf8.count < ForeignReader.stringCap else {
        throw Misfit(text: "is \(text.utf8.count) bytes long; at most \(ForeignReader.stringCap - 1) are passed on")
      }
      return text
    }
    if case .integer(let value) = given, type == .selector { return String(value) }
    throw Misfit(text: "must be text, not \(given.spelled)")
  }

  private func choice(_ text: String) throws(Misfit) -> String {
    guard choices.isEmpty || choices.contains(text) else {
      throw Misfit(text: "must be one of \(choices.joined(separator: ", ")), not '\(text)'")
    }
    return text
  }

  private func checkRange(_ value: Double) throws(Misfit) {
    guard let min, let max else { return }
    guard value >= min, value <= max else { throw Misfit(text: "must lie in \(min)...\(max), not \(value)") }
  }
}

extension GivenValue {
  /// As in a message.
  var spelled: String {
    switch self {
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .text(let text): "'\(text)'"
    case .list(let all): "[\(all.map(\.spelled).joined(separator: ", "))]"
    case .tensor(let tensor): "a tensor of shape \(tensor.shape)"
    }
  }
}

extension ParameterValue {
  /// As in a message.
  package var spelled: String {
    switch self {
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let text), .selector(let text): "'\(text)'"
    case .integers(let all): "\(all)"
    case .strings(let all): "\(all)"
    case .tensor(let tensor): "a tensor of shape \(tensor.shape)"
    }
  }
}
