import ArgumentParser
import Diagnostics
import Foundation
import PluginRuntime

struct PluginCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plugin", abstract: "Plugins: look at them, write them, try them, share them.",
    discussion: """
      A plugin is named by its path, with a '/', or by its name, which is looked for in the folders of $ABLATE_PLUGIN_PATH, among the
      installed ones ($XDG_DATA_HOME/ablate/plugins) and the bundled ones.
      """,
    subcommands: [
      PluginListCommand.self, PluginInfoCommand.self, PluginDiffCommand.self, PluginNewCommand.self,
      PluginCheckCommand.self, PluginPackCommand.self, PluginSignCommand.self, PluginVerifyCommand.self,
      PluginInstallCommand.self, PluginRemoveCommand.self, PluginIndexCommand.self, PluginSearchCommand.self,
      PluginLockCommand.self,
    ])
}

struct PluginListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "The plugins that a bare name finds, and whether they could be loaded.")

  @Flag(help: "As JSON.") var json = false

  func run() throws {
    let search = PluginSearch(base: nil)
    let lines = search.available().map { Line(name: $0, of: search) }
    if json {
      print(
        JSON.object([("schema", .string("ablate.plugins/1")), ("plugins", .array(lines.map(\.json)))]).pretty,
        terminator: "")
    } else {
      printColumns([["name", "version", "kind", "grade", "library", "folder"]] + lines.map(\.cells))
    }
  }

  /// One plugin, broken ones too.
  private struct Line {
    let name: String
    var manifest: PluginManifest?
    var state = "ok"

    init(name: String, of search: PluginSearch) {
      self.name = name
      do {
        let manifest = try search.manifest(of: name)
        self.manifest = manifest
        _ = try PluginDossier(manifest)
      } catch { state = error.diagnosis.what }
    }

    var cells: [String] {
      guard let manifest else { return [name, "", "", "", state, ""] }
      return [name, manifest.version, manifest.kind.rawValue, manifest.grade.rawValue, state, manifest.folder]
    }

    var json: JSON {
      .object([
        ("id", .string(name)), ("version", manifest.map { .string($0.version) } ?? .null),
        ("kind", manifest.map { .string($0.kind.rawValue) } ?? .null),
        ("grade", manifest.map { .string($0.grade.rawValue) } ?? .null),
        ("summary", manifest.map { .string($0.summary) } ?? .null),
        ("folder", manifest.map { .string($0.folder) } ?? .null), ("library", .string(state)),
      ])
    }
  }
}

struct PluginDiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "What two plugins, or two versions of one, say and hold differently.")

  @Argument(help: "A plugin.") var a: String
  @Argument(help: "Another one.") var b: String
  @Flag(help: "As JSON.") var json = false

  func run() throws {
    let search = PluginSearch(base: nil)
    let (old, new) = (try PluginDossier(search.manifest(of: a)), try PluginDossier(search.manifest(of: b)))
    let differences = try old.differences(to: new)
    if json {
      print(
        JSON.object([
          ("schema", .string("ablate.plugin_diff/1")), ("a", old.json), ("b", new.json),
          ("differences", .strings(differences)),
        ]).pretty, terminator: "")
    } else {
      print(differences.isEmpty ? "the same" : differences.joined(separator: "\n"))
    }
  }
}

/// Columns as wide as their widest cell.
func printColumns(_ rows: [[String]]) {
  let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
  for row in rows {
    let cells = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
    print(String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed()))
  }
}
