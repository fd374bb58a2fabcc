import Foundation

/// The members of a JSON object by type, with the file and key in every complaint. JSON's null counts as absent, as
/// in transformers.
struct SettingsReader {
  enum Dimensions {
    case one(Int)
    case shortestEdge(Int)
    case two(height: Int, width: Int)
  }

  private indirect enum Value: Decodable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([Value])
    case object([String: Value])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        self = .null
      } else if let value = try? container.decode(Bool.self) {
        self = .bool(value)
      } else if let value = try? container.decode(Double.self) {
        self = .number(value)
      } else if let value = try? container.decode(String.self) {
        self = .text(value)
      } else if let value = try? container.decode([Value].self) {
        self = .list(value)
      } else {
        self = .object(try container.decode([String: Value].self))
      }
    }
  }

  private let members: [String: Value]
  private let path: String
  /// "image_processor." within processor_config.json, else empty.
  private let prefix: String

  /// The members of the JSON object in `bytes`.
  init(bytes: [UInt8], path: String) throws(CheckpointError) {
    do {
      let value = try JSONDecoder().decode([String: Value].self, from: Data(bytes))
      self.init(members: value, path: path, prefix: "")
    } catch {
      throw .malformed(path: path, problem: "not a JSON object", remedy: "fetch the file again")
    }
  }

  private init(members: [String: Value], path: String, prefix: String) {
    self.members = members.filter { if case .null = $0.value { false } else { true } }
    self.path = path
    self.prefix = prefix
  }

  var keys: [String] { members.keys.sorted() }

  func object(_ key: String) throws(CheckpointError) -> SettingsReader? {
    switch members[key] {
    case nil: return nil
    case .object(let inner): return SettingsReader(members: inner, path: path, prefix: "\(prefix)\(key).")
    default: throw malformed(key, "not an object", "")
    }
  }

  func bool(_ key: String) throws(CheckpointError) -> Bool? {
    switch members[key] {
    case nil: return nil
    case .bool(let value): return value
    default: throw malformed(key, "neither true nor false", "")
    }
  }

  func text(_ key: String) throws(CheckpointError) -> String? {
    switch members[key] {
    case nil: return nil
    case .text(let value): return value
    default: throw malformed(key, "not a string", "")
    }
  }

  func number(_ key: String) throws(CheckpointError) -> Double? {
    switch members[key] {
    case nil: return nil
    case .number(let value): return value
    default: throw malformed(key, "not a number", "")
    }
  }

  func integer(_ key: String) throws(CheckpointError) -> Int? {
    guard let value = try number(key) else { return nil }
    guard let whole = Int(exactly: value) else { throw malformed(key, "\(value) is not a whole number", "") }
    return whole
  }

  /// One number for each of R, G and B; a single number is all three.
  func channels(_ key: String) throws(CheckpointError) -> [Double]? {
    switch members[key] {
    case nil: return nil
    case .number(let value): return [value, value, value]
    case .list(let list):
      let values = list.compactMap { if case .number(let value) = $0 { value } else { nil } }
      guard values.count == 3, list.count == 3 else {
        throw malformed(key, "not three numbers", "one for each of R, G, B")
      }
      return values
    default: throw malformed(key, "not three numbers", "one for each of R, G, B")
    }
  }

  /// A list of [height, width].
  func pinpoints(_ key: String) throws(CheckpointError) -> [GridPinpoint]? {
    guard let value = members[key] else { return nil }
    guard case .list(let list) = value, !list.isEmpty else { throw malformed(key, "not a list of sizes", "") }
    return try list.map { entry throws(CheckpointError) in
      guard case .list(let pair) = entry, pair.count == 2, case .number(let height) = pair[0],
        case .number(let width) = pair[1]
      else { throw malformed(key, "an entry that is not a height and a width", "") }
      return GridPinpoint(height: try edge(height, key), width: try edge(width, key))
    }
  }

  /// A size as transformers writes it: 336, [336, 336] (height first) or an object.
  func dimensions(_ key: String) throws(CheckpointError) -> Dimensions? {
    switch members[key] {
    case nil: return nil
    case .number(let value): return .one(try edge(value, key))
    case .list(let list):
      guard list.count == 2, case .number(let height) = list[0], case .number(let width) = list[1] else {
        throw malformed(key, "not a height and a width", "")
      }
      return .two(height: try edge(height, key), width: try edge(width, key))
    case .object(let object):
      let sizes = SettingsReader(members: object, path: path, prefix: "\(prefix)\(key).")
      switch sizes.keys {
      case ["shortest_edge"]: return .shortestEdge(try sizes.edge("shortest_edge"))
      case ["height", "width"]: return .two(height: try sizes.edge("height"), width: try sizes.edge("width"))
      default:
        throw unsupported(
          key, "a size by \(sizes.keys.joined(separator: ", "))", "known: shortest_edge, or height and width")
      }
    default: throw malformed(key, "not a size", "")
    }
  }

  private func edge(_ key: String) throws(CheckpointError) -> Int {
    guard let value = try number(key) else { throw malformed(key, "missing", "") }
    return try edge(value, key)
  }

  private func edge(_ value: Double, _ key: String) throws(CheckpointError) -> Int {
    guard let whole = Int(exactly: value), (1...ImageProcessorSettings.maxEdge).contains(whole) else {
      throw malformed(
        key, "\(value) is no length in pixels", "a whole number from 1 to \(ImageProcessorSettings.maxEdge)")
    }
    return whole
  }

  func malformed(_ key: String, _ problem: String, _ remedy: String) -> CheckpointError {
    .malformed(path: path, at: prefix + key, problem: problem, remedy: remedy)
  }

  func unsupported(_ key: String, _ problem: String, _ remedy: String) -> CheckpointError {
    .unsupported(path: path, key: prefix + key, problem: problem, remedy: remedy)
  }
}
