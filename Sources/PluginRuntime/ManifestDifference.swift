import Foundation

/// What two plugin.json say differently, in words: "params.factor.max: 1, now 2".
package enum ManifestDifference {
  /// - Parameter path: of the file that `old` comes from, for errors: it need not be JSON.
  package static func between(_ old: Data, _ new: Data, path: String) throws(PluginError) -> [String] {
    compare(try JSONValue.parse(old, path: path), try JSONValue.parse(new, path: path), at: "")
  }

  private static func compare(_ old: JSONValue, _ new: JSONValue, at place: String) -> [String] {
    switch (old, new) {
    case (.object(let a), .object(let b)):
      return Set(a.keys).union(b.keys).sorted().flatMap { key in
        compareField(a[key], b[key], at: place.isEmpty ? key : "\(place).\(key)")
      }
    case (.array(let a), .array(let b)) where (a + b).allSatisfy { $0.id != nil }:
      let ids = (a + b).compactMap(\.id)
      return ids.enumerated().filter { ids.firstIndex(of: $1) == $0 }.flatMap { _, id in
        compareField(a.first { $0.id == id }, b.first { $0.id == id }, at: "\(place).\(id)")
      }
    default: return old == new ? [] : ["\(place): \(old.spelled), now \(new.spelled)"]
    }
  }

  private static func compareField(_ old: JSONValue?, _ new: JSONValue?, at place: String) -> [String] {
    switch (old, new) {
    case (let old?, let new?): compare(old, new, at: place)
    case (nil, let new?): ["\(place): new, \(new.spelled)"]
    case (let old?, nil): ["\(place): gone, was \(old.spelled)"]
    case (nil, nil): []
    }
  }
}

extension JSONValue {
  /// Entries of `params` are told apart by their id and not by their order.
  fileprivate var id: String? {
    guard case .object(let fields) = self, case .string(let id)? = fields["id"] else { return nil }
    return id
  }

  /// As in a message: objects by their keys only.
  fileprivate var spelled: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let text): "'\(text.count > 60 ? text.prefix(60) + "..." : text)'"
    case .array(let all): "[\(all.map(\.spelled).joined(separator: ", "))]"
    case .object(let fields):
      "{\(fields.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.spelled)" }.joined(separator: ", "))}"
    }
  }
}
