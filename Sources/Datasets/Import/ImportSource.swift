import Diagnostics

/// Annotated pictures in somebody's format, read one at a time.
package protocol ImportSource {
  /// `ppp`, `coco` or `masks`.
  var format: String { get }
  /// How many pictures there are.
  var count: Int { get }
  /// The settings and the digests of files that all pictures share, for `import.json`.
  var facts: [(String, JSON)] { get }
  /// What was left out when the source was opened.
  var omissions: Omissions { get }
  /// The picture at `index`, or nil with the reason in `omissions`. Throws on data that do not follow the format.
  func picture(_ index: Int, omissions: inout Omissions) throws -> AnnotatedPicture?
}

/// A picture and what is marked in it.
package struct AnnotatedPicture: Sendable {
  /// Unique in its source; names the files and examples that are made of it.
  package var name: String
  package var imagePath: String
  /// Files that belong to this picture alone, for the source's digest.
  package var annotationPaths: [String] = []
  /// Size of the annotations, in pixels.
  package var width: Int
  package var height: Int
  package var objects: [Object]

  package struct Object: Sendable {
    package var className: String?
    package var parts: [Part] = []

    package var area: Int { parts.reduce(0) { $0 + $1.region.area } }
  }

  package struct Part: Sendable {
    package var label: String
    package var region: Region
  }
}

/// What an import left out and why: a count and the first case of each reason.
package struct Omissions: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var reason: String
    package var count: Int
    package var first: String
  }

  /// In the order in which reasons came up.
  package private(set) var entries: [Entry] = []

  package init() {}

  /// - Parameter place: where the first case is, for people.
  package mutating func count(_ reason: String, _ count: Int = 1, at place: String) {
    guard count > 0 else { return }
    if let index = entries.firstIndex(where: { $0.reason == reason }) {
      entries[index].count += count
    } else {
      entries.append(Entry(reason: reason, count: count, first: place))
    }
  }

  package var json: JSON {
    .array(
      entries.map { entry in
        .object([("reason", .string(entry.reason)), ("count", .int(entry.count)), ("first", .string(entry.first))])
      })
  }
}
