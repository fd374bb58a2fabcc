import ArgumentParser
import Diagnostics
import Foundation
import PluginRuntime

struct PluginInfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "What a plugin says of itself: parameters, footprint, library, digest.")

  @Argument(help: "A plugin, or a library alone (a path that ends in .so), whose own plugin.json is shown.")
  var plugin: String
  @Flag(help: "As JSON.") var json = false

  func run() throws {
    if plugin.hasSuffix(".so") { return try showNote() }
    let manifest = try PluginSearch(base: nil).manifest(of: plugin)
    if !json { print(manifest.text) }
    let dossier = try PluginDossier(manifest)
    print(json ? dossier.json.pretty : dossier.text, terminator: json ? "" : "\n")
  }

  private func showNote() throws {
    let object = try SharedObject(path: plugin)
    guard let note = object.image.manifestNote else {
      throw PluginError.missing(
        path: "\(plugin): note of plugin.json", remedy: "name the plugin's folder; this library carries no plugin.json")
    }
    let manifest = try PluginManifest(json: Data(note), path: "\(plugin): its note")
    print(json ? manifest.json.pretty : manifest.text, terminator: json ? "" : "\n")
  }
}

extension PluginManifest {
  /// Everything that plugin.json says, for a person.
  fileprivate var text: String {
    var lines = ["\(id) \(version): \(kind.rawValue), \(grade.rawValue), \(licence)"]
    if !summary.isEmpty { lines.append("  \(summary)") }
    lines += ["", "parameters"] + (params.isEmpty ? ["  none"] : params.map { "  " + $0.text })
    lines += ["", "footprint"]
    lines += footprint.map { "  \($0.tower): \($0.sites.joined(separator: ", ")) (\($0.access.words))" }
    if let plain {
      lines += ["", "function", "  \(plain.symbol): \(plain.signature)"]
    }
    return lines.joined(separator: "\n")
  }

  fileprivate var json: JSON {
    .object([
      ("schema", .string("ablate.plugin/1")), ("path", .string(path)),
      ("manifest", (try? JSONSerialization.jsonObject(with: source)).flatMap { JSON($0) } ?? .null),
    ])
  }
}

extension ParameterSpec {
  fileprivate var text: String {
    var facts = [type.name]
    if required { facts.append("required") }
    if let value = defaultValue { facts.append("default \(value.spelled)") }
    if let min, let max { facts.append("\(min) to \(max)") }
    if !choices.isEmpty { facts.append("one of \(choices.joined(separator: ", "))") }
    if !unit.isEmpty { facts.append("in \(unit)") }
    return "\(id) (\(facts.joined(separator: "; "))): \(doc)"
  }
}

extension Access {
  fileprivate var words: String {
    contains([.read, .write]) ? "reads and writes" : contains(.write) ? "writes" : "reads"
  }
}

extension PluginDossier {
  fileprivate var text: String {
    let facts = image.map { image in
      [
        "exports \(exports.joined(separator: ", "))",
        image.manifestNote == nil ? "carries no plugin.json" : "carries the same plugin.json",
      ]
    }
    return
      (["", "library"]
      + ([code.path, "\(code.size) bytes, sha256 \(code.sha256)"] + (facts ?? [])).map { "  " + $0 })
      .joined(separator: "\n")
  }

  var json: JSON {
    .object([
      ("schema", .string("ablate.plugin/1")), ("path", .string(manifest.path)),
      ("manifest", (try? JSONSerialization.jsonObject(with: manifest.source)).flatMap { JSON($0) } ?? .null),
      ("library", .string(code.path)), ("bytes", .int(code.size)), ("sha256", .string(code.sha256)),
      ("exports", .strings(exports)), ("carries_manifest", .bool(image?.manifestNote != nil)),
    ])
  }
}
