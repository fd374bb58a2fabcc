import Foundation
import TestSupport

/// Every constant, and every struct with offset, size and declaration of its fields, as the C compiler lays them out:
///
///     const ABLATE_READ 1
///     struct ablate_error 24
///       0 4 uint32_t struct_size
struct LayoutTable {
  let text: String
  /// "ABLATE_READ" -> 1
  private(set) var constants: [String: String] = [:]
  /// "ablate_error" -> 24
  private(set) var sizes: [String: Int] = [:]
  /// "ablate_error.struct_size" -> where it lies, and what it is.
  private(set) var fields: [String: Field] = [:]

  struct Field: Equatable {
    var offset: Int
    var size: Int
    var declaration: String
  }

  /// Of a header's text, by compiling and running a small C program.
  static func compiled(_ header: String) throws -> LayoutTable {
    let folder = try TemporaryFolder()
    try folder.write(header, to: "ablate_plugin.h")
    try folder.write(program(Header(header)), to: "layout.c")
    _ = try shell("cc -std=c11 -o layout layout.c", in: folder.path)
    return LayoutTable(try shell("./layout", in: folder.path))
  }

  private static func program(_ header: Header) -> String {
    var lines = [
      #"#include "ablate_plugin.h""#, "#include <stdio.h>",
      #"#define FIELD(s, f, d) printf("  %zu %zu %s\n", offsetof(s, f), sizeof((s *)0)->f, d)"#, "int main(void) {",
    ]
    lines += header.constants.map { #"  printf("const \#($0.name) %lld\n", (long long)(\#($0.name)));"# }
    for type in header.structs {
      lines.append(#"  printf("struct \#(type.name) %zu\n", sizeof(\#(type.name)));"#)
      lines += type.fields.map { #"  FIELD(\#(type.name), \#($0.name), "\#($0.declaration)");"# }
    }
    lines += [#"  printf("entry \#(header.entry)\n");"#, "}", ""]
    return lines.joined(separator: "\n")
  }

  init(_ text: String) {
    self.text = text
    var type = ""
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      switch words[0] {
      case "const": constants[String(words[1])] = String(words[2])
      case "entry": constants["the entry symbol"] = words.dropFirst().joined(separator: " ")
      case "struct":
        type = String(words[1])
        sizes[type] = Int(words[2])
      default:
        let declaration = words.dropFirst(2).joined(separator: " ")
        let name = (declaration.firstMatch(of: #/\(\*(\w+)\)/#) ?? declaration.firstMatch(of: #/(\w+)$/#))?.1 ?? ""
        fields["\(type).\(name)"] = Field(
          offset: Int(words[0]) ?? -1, size: Int(words[1]) ?? -1, declaration: declaration)
      }
    }
  }
}

extension LayoutTable {
  /// What became of the layout since `old`, held against the rules at the head of the header.
  struct Changes: Equatable {
    /// What no plugin built against the old header survives.
    var breaking: [String] = []
    /// What the rules allow.
    var growth: [String] = []
  }

  func changes(since old: LayoutTable) -> Changes {
    var changes = Changes()
    for (name, value) in old.constants.sorted(by: { $0.key < $1.key }) where constants[name] != value {
      let grown = name == "ABLATE_ABI_MINOR" && Int(constants[name] ?? "").map { $0 > Int(value) ?? 0 } == true
      let text = "\(name) was \(value), is \(constants[name] ?? "gone")"
      if grown { changes.growth.append(text) } else { changes.breaking.append(text) }
    }
    for name in constants.keys.sorted() where old.constants[name] == nil { changes.growth.append("\(name) is new") }
    for (name, size) in old.sizes.sorted(by: { $0.key < $1.key }) where sizes[name] != size {
      let now = sizes[name] ?? 0
      let text = "\(name) had \(size) bytes, has \(now)"
      let grown = now > size && (now - size) % 8 == 0 && name != "ablate_tensor"
      if grown { changes.growth.append(text) } else { changes.breaking.append(text) }
    }
    for name in sizes.keys.sorted() where old.sizes[name] == nil { changes.growth.append("\(name) is new") }
    for (name, field) in old.fields.sorted(by: { $0.key < $1.key }) where fields[name] != field {
      changes.breaking.append("\(name) \(fields[name] == nil ? "is gone" : "moved or changed its type")")
    }
    for (name, field) in fields.sorted(by: { $0.key < $1.key }) where old.fields[name] == nil {
      let end = old.sizes[String(name.prefix { $0 != "." })] ?? 0
      if field.offset < end { changes.breaking.append("\(name) was put between others") }
    }
    return changes
  }
}

/// What `command` prints; fails with all that it said when its status is not 0.
func shell(_ command: String, in folder: String, environment: [String: String] = [:]) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", "(\(command)) >output 2>&1 </dev/null"]
  process.currentDirectoryURL = URL(fileURLWithPath: folder)
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  try process.run()
  process.waitUntilExit()
  let output = try String(contentsOfFile: folder + "/output", encoding: .utf8)
  guard process.terminationStatus == 0 else { throw ShellFailure(command: command, output: output) }
  return output
}

struct ShellFailure: Error, CustomStringConvertible {
  let command: String
  let output: String
  var description: String { "\(command): \(output)" }
}
