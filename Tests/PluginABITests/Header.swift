import Foundation

/// The declarations of `ablate_plugin.h`, which keeps to a subset of C that a few patterns can read.
struct Header {
  struct Field: Equatable {
    /// As the header declares it, without the semicolon: `const int64_t *shape`.
    var declaration: String
    var name: String
  }

  struct Struct: Equatable {
    var name: String
    var fields: [Field]
  }

  private(set) var constants: [(name: String, value: String)] = []
  private(set) var structs: [Struct] = []
  /// The entry symbol's declaration.
  private(set) var entry = ""

  static let path = repository + "/Sources/PluginABI/include/ablate_plugin.h"

  static func read() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  init(_ text: String) {
    let code = text.replacing(#/\/\*.*?\*\//#.dotMatchesNewlines(), with: "")
    // Numbers; the ids of extensions are text and have no layout.
    for define in code.matches(of: #/#define (ABLATE_\w+) ([^"\n]+)/#) where define.1 != "ABLATE_EXPORT" {
      constants.append((String(define.1), define.2.trimmingCharacters(in: .whitespaces)))
    }
    for found in code.matches(of: #/typedef struct (\w+) \{(.*?)\n\} (\w+);/#.dotMatchesNewlines()) {
      let fields = found.2.split(separator: ";").map(Self.spaced).filter { !$0.isEmpty }.map(Self.field)
      structs.append(Struct(name: String(found.3), fields: fields))
    }
    if let found = code.firstMatch(of: #/ABLATE_EXPORT (const [^;]+);/#) { entry = Self.spaced(found.1) }
  }

  private static func field(_ declaration: String) -> Field {
    let function = declaration.firstMatch(of: #/\(\*(\w+)\)/#)?.1
    let name = function ?? declaration.firstMatch(of: #/(\w+)$/#)?.1 ?? ""
    return Field(declaration: declaration, name: String(name))
  }

  private static func spaced(_ text: Substring) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}

/// The repository, wherever the tests were compiled from.
let repository = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path
