import Foundation

/// A JSON object whose every key must be understood: each read strikes a key off, and `finish` refuses what is left over.
/// A configuration key that is dropped in silence is a model that is computed wrongly in silence.
struct StrictObject {
  let path: String
  /// Dotted path of this object in the file, "" at the top.
  let at: String
  private var values: [String: Any]
  /// Keys whose value is null: as good as absent, except where a configuration's own default is something else than null.
  private let nulls: Set<String>

  init(contentsOf path: String, remedy: String) throws(CheckpointError) {
    guard let data = FileManager.default.contents(atPath: path) else { throw .missing(path: path, remedy: remedy) }
    do {
      guard let values = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
        throw CheckpointError.malformed(
          path: path, problem: "the file is not a JSON object", remedy: "download it again")
      }
      self.init(values, path: path, at: "")
    } catch let error as CheckpointError {
      throw error
    } catch {
      let detail = (error as NSError).userInfo["NSDebugDescription"] as? String ?? "\(error)"
      throw .malformed(path: path, problem: "the file is not valid JSON: \(detail)", remedy: "download it again")
    }
  }

  private init(_ values: [String: Any], path: String, at: String) {
    self.values = values.filter { !($0.value is NSNull) }
    nulls = Set(values.keys).subtracting(self.values.keys)
    self.path = path
    self.at = at
  }

  private func name(_ key: String) -> String { at.isEmpty ? key : "\(at).\(key)" }

  /// The value of `key` as `T`; `fallback` where it is absent or null. A value of another type, or none without a fallback, throws.
  mutating func read<T>(_ key: String, default fallback: T? = nil) throws(CheckpointError) -> T {
    guard let value = values.removeValue(forKey: key) else {
      if let fallback { return fallback }
      throw .malformed(
        path: path, at: name(key), problem: "the key is missing",
        remedy: "Ablate has no default for it: add it, or download the file again")
    }
    guard let typed = value as? T, !(T.self == Int.self && StrictObject.isTruth(value)) else {
      throw .malformed(
        path: path, at: name(key), problem: "expected \(StrictObject.word(for: T.self)), found '\(value)'",
        remedy: "correct the value, or download the file again")
    }
    return typed
  }

  /// Foundation would give `true` as the number 1.
  private static func isTruth(_ value: Any) -> Bool {
    (value as? NSNumber).map { String(cString: $0.objCType) == "c" } ?? false
  }

  /// A type in the words of JSON.
  private static func word<T>(for type: T.Type) -> String {
    switch type {
    case is Int.Type: "a whole number"
    case is Double.Type: "a number"
    case is Bool.Type, is Bool?.Type: "true or false"
    case is String.Type: "text"
    default: "an object"
    }
  }

  /// An integer that must lie in `range`.
  mutating func count(
    _ key: String, default fallback: Int? = nil, in range: ClosedRange<Int> = 1...1_000_000
  ) throws(CheckpointError) -> Int {
    let value: Int = try read(key, default: fallback)
    guard range.contains(value) else {
      throw .malformed(
        path: path, at: name(key), problem: "\(value) is outside \(range)",
        remedy: "correct the value, or download the file again")
    }
    return value
  }

  /// An integer above 0; nil where null is written, the default where the key is absent.
  mutating func optionalCount(_ key: String, default fallback: Int?) throws(CheckpointError) -> Int? {
    guard has(key) else { return nulls.contains(key) ? nil : fallback }
    return try count(key)
  }

  /// One integer, or a list of them.
  mutating func integers(_ key: String, default fallback: [Int]) throws(CheckpointError) -> [Int] {
    guard has(key) else { return fallback }
    let value: Any = try read(key)
    let list = value as? [Any] ?? [value]
    let integers = list.compactMap { StrictObject.isTruth($0) ? nil : $0 as? Int }
    guard integers.count == list.count, !list.isEmpty else {
      throw .malformed(
        path: path, at: name(key), problem: "expected a whole number or a list of them, found '\(value)'",
        remedy: "correct the value, or download the file again")
    }
    return integers
  }

  /// A list of [height, width], each a multiple of `tile`.
  mutating func pinpoints(_ key: String, tile: Int) throws(CheckpointError) -> [GridPinpoint] {
    let list: [Any] = try read(
      key, default: [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]] as [[Int]])
    let pinpoints = list.compactMap { entry -> GridPinpoint? in
      guard let size = entry as? [Int], size.count == 2, size.allSatisfy({ $0 > 0 && $0 <= 16_384 && $0 % tile == 0 })
      else { return nil }
      return GridPinpoint(height: size[0], width: size[1])
    }
    guard pinpoints.count == list.count, !list.isEmpty else {
      throw .malformed(
        path: path, at: name(key), problem: "expected a list of [height, width], each a multiple of the tile's \(tile)",
        remedy: "correct the value, or download the file again")
    }
    return pinpoints
  }

  /// `model_type`, which must be one of the cases.
  mutating func modelType<T: RawRepresentable & CaseIterable>(default fallback: T? = nil) throws(CheckpointError) -> T
  where T.RawValue == String {
    let found: String = try read("model_type", default: fallback?.rawValue)
    guard let known = T(rawValue: found) else {
      throw .unsupported(
        path: path, key: name("model_type"), problem: "'\(found)'",
        remedy: "this version runs: " + T.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return known
  }

  /// `model_type`, which is `only` or absent.
  mutating func modelType(_ only: String) throws(CheckpointError) {
    let found: String = try read("model_type", default: only)
    guard found == only else {
      throw .unsupported(
        path: path, key: name("model_type"), problem: "'\(found)'", remedy: "this version runs: \(only)")
    }
  }

  /// One of the cases of a string enum.
  mutating func choice<T: RawRepresentable & CaseIterable>(
    _ key: String, default fallback: T
  ) throws(CheckpointError) -> T where T.RawValue == String {
    let text: String = try read(key, default: fallback.rawValue)
    guard let value = T(rawValue: text) else {
      let known = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw .unsupported(path: path, key: name(key), problem: "'\(text)'", remedy: "supported: \(known)")
    }
    return value
  }

  /// The object under `key`; empty where it is absent.
  mutating func object(_ key: String) throws(CheckpointError) -> StrictObject {
    let values: [String: Any] = try read(key, default: [:])
    return StrictObject(values, path: path, at: name(key))
  }

  mutating func has(_ key: String) -> Bool { values[key] != nil }

  /// Accepts `key` only with the value that changes nothing.
  mutating func only<T: Equatable>(_ key: String, _ value: T, because reason: String? = nil) throws(CheckpointError) {
    let found: T = try read(key, default: value)
    if found != value {
      let remedy = "Ablate computes only \(value)" + (reason.map { ": \($0)" } ?? "")
      throw .unsupported(path: path, key: name(key), problem: "\(found)", remedy: remedy)
    }
  }

  /// Refuses every key that was not read and is not in `harmless`.
  func finish(harmless: Set<String>) throws(CheckpointError) {
    for key in values.keys.sorted() where !harmless.contains(key) {
      throw .unsupported(
        path: path, key: name(key),
        problem: "the key is not known to Ablate, so its effect on the model is not computed",
        remedy: "remove it if it changes nothing, or report the checkpoint")
    }
  }
}
