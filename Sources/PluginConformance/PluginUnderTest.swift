import Diagnostics
import Foundation
import PluginRuntime

/// A plugin with the parameters that it is tried with.
struct PluginUnderTest {
  enum Code {
    case sdk(PluginLibrary)
    case plain(PlainFunction)
    /// It runs in a worker, made anew for each life.
    case python
  }

  let manifest: PluginManifest
  let code: Code
  let parameters: [BoundParameter]

  /// Loads it.
  init(_ manifest: PluginManifest, given: [String: GivenValue]) throws(PluginError) {
    self.manifest = manifest
    parameters = try manifest.resolve(manifest.examples(given))
    switch manifest.grade {
    case .sdk: code = .sdk(try PluginLibrary.open(manifest))
    case .plain: code = .plain(try PlainFunction.open(manifest))
    case .python: code = .python
    }
  }

  private init(_ manifest: PluginManifest, _ code: Code, _ parameters: [BoundParameter]) {
    (self.manifest, self.code, self.parameters) = (manifest, code, parameters)
  }

  func with(_ parameters: [BoundParameter]) -> PluginUnderTest { PluginUnderTest(manifest, code, parameters) }

  /// Equal input gives equal bits.
  var isDeterministic: Bool { if case .sdk(let library) = code { library.determinism >= 1 } else { true } }
}

extension PluginManifest {
  /// What was given, and for required parameters that were not: the value of the golden case, else one within the bounds.
  fileprivate func examples(_ given: [String: GivenValue]) -> [String: GivenValue] {
    let golden = goldenParameters
    return params.filter { $0.required && given[$0.id] == nil }.reduce(into: given) { all, spec in
      all[spec.id] = golden[spec.id] ?? spec.example
    }
  }

  /// Of the first case of golden.json, where there is one.
  private var goldenParameters: [String: GivenValue] {
    guard let data = FileManager.default.contents(atPath: goldenPath),
      case .object(let fields)? = JSON(try? JSONSerialization.jsonObject(with: data))?["cases"]?.elements?.first?[
        "params"]
    else { return [:] }
    return Dictionary(fields.compactMap { name, value in value.given.map { (name, $0) } }) { $1 }
  }
}

extension JSON {
  fileprivate var given: GivenValue? {
    switch self {
    case .bool(let value): .bool(value)
    case .int(let value): .integer(Int64(value))
    case .double(let value): .number(value)
    case .string(let value): .text(value)
    case .array(let all): .list(all.compactMap(\.given))
    case .null, .object: nil
    }
  }
}

extension ParameterSpec {
  /// A value that is allowed.
  fileprivate var example: GivenValue {
    switch type {
    case .bool: .bool(true)
    case .i64: .integer(smallest)
    case .f64: .number(min.map { ($0 + (max ?? $0)) / 2 } ?? 1)
    case .str: .text(choices.first ?? "x")
    case .i64v: .list([.integer(smallest)])
    case .strv: .list([.text(choices.first ?? "x")])
    case .selector: .text("all")
    case .tensor: .tensor(TensorValue(shape: [4, 4], values: (0..<16).map { Float($0) / 16 }))
    }
  }

  private var smallest: Int64 { Int64(exactly: (min ?? 0).rounded(.up)) ?? 0 }
  private var bounds: [Double] { [min, max].compactMap { $0 } }

  /// The ends of the range, and every choice.
  var extremes: [ParameterValue] {
    switch type {
    case .bool: [.bool(false), .bool(true)]
    case .i64: bounds.compactMap { Int64(exactly: $0) }.map { .integer($0) }
    case .f64: bounds.map { .number($0) }
    case .str: choices.map { .string($0) }
    case .i64v: bounds.compactMap { Int64(exactly: $0) }.map { .integers([$0]) }
    case .strv: choices.map { .strings([$0]) }
    case .selector, .tensor: []
    }
  }
}
