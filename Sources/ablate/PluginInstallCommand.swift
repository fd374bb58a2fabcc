import ArgumentParser
import Foundation
import PluginRuntime
import PluginStore

struct PluginInstallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "install", abstract: "Put a pack's plugin among the installed ones. None of its code runs.")

  @Argument(help: "A pack (a path or an http address that ends in .ablate-plugin), or a name that the registry has.")
  var plugin: String
  @OptionGroup var registry: RegistryOptions

  func run() throws {
    let pack = try plugin.hasSuffix(Pack.suffix) ? Pack(bytes: fetch(plugin), path: plugin) : registry.pack(plugin)
    let signer = pack.signature == nil ? nil : try pack.signer(KnownKeys())
    let differences = try Installation().install(pack)
    print(
      "installed \(pack.manifest.id) \(pack.manifest.version), \(signer.map { "signed by \($0)" } ?? "not signed by a known key")"
    )
    for difference in differences ?? [] { print("  \(difference)") }
  }
}

struct PluginRemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "remove", abstract: "Take an installed plugin away.")

  @Argument(help: "Its name.") var plugin: String

  func run() throws {
    try Installation().remove(plugin)
    print("removed \(plugin)")
  }
}

struct PluginIndexCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "index", abstract: "Write index.json for a folder of packs, which makes it a registry.")

  @Argument(help: "The folder.") var folder: String

  func run() throws {
    let index = try PackIndex(packsIn: folder)
    let path = (folder as NSString).appendingPathComponent(PackIndex.fileName)
    do { try Data(index.json.pretty.utf8).write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
      throw StoreError.unwritable(path: path, problem: "cannot write there: \(error.localizedDescription)")
    }
    print("\(index.entries.count) packs in \(path)")
  }
}

struct PluginSearchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "search", abstract: "What a registry has.")

  @Argument(help: "Words that name or summary must have; none: everything.") var words: [String] = []
  @OptionGroup var registry: RegistryOptions
  @Flag(help: "As JSON.") var json = false

  func run() throws {
    let keys = try KnownKeys()
    let found = try registry.index().matching(words)
    if json {
      print(PackIndex(found).json.pretty, terminator: "")
    } else {
      let rows = found.map { entry in
        let signer = Data(hex: entry.key).flatMap { keys.name(of: $0) }
        return [
          entry.id, entry.version, entry.kind, entry.platforms.joined(separator: " "),
          signer ?? (entry.key.isEmpty ? "-" : "unknown key"), entry.summary,
        ]
      }
      printColumns([["name", "version", "kind", "platforms", "signed by", "summary"]] + rows)
    }
  }
}

struct RegistryOptions: ParsableArguments {
  @Option(help: "A folder or http address with an index.json; by default $ABLATE_PLUGIN_REGISTRY.") var registry:
    String?

  func index() throws -> PackIndex {
    let path = try place() + "/" + PackIndex.fileName
    return try PackIndex(json: fetch(path), path: path)
  }

  /// The newest version of a plugin; the file must be the one that the index names.
  func pack(_ id: String) throws -> Pack {
    let (index, place) = (try index(), try place())
    guard let entry = index.newest(id) else {
      throw StoreError.registry(
        path: place, problem: "it has no plugin '\(id)'",
        remedy: "it has: " + Set(index.entries.map(\.id)).sorted().joined(separator: ", "))
    }
    let bytes = try fetch("\(place)/\(entry.file)")
    guard Pack.digest(bytes) == entry.sha256 else {
      throw StoreError.pack(path: "\(place)/\(entry.file)", problem: "it is not the file that index.json names")
    }
    return try Pack(bytes: bytes, path: "\(place)/\(entry.file)")
  }

  private func place() throws -> String {
    let place = registry ?? ProcessInfo.processInfo.environment["ABLATE_PLUGIN_REGISTRY"] ?? ""
    guard !place.isEmpty else {
      throw StoreError.registry(
        path: "--registry", problem: "no registry is named", remedy: "give --registry, or set ABLATE_PLUGIN_REGISTRY")
    }
    return place.hasSuffix("/") ? String(place.dropLast()) : place
  }
}

/// The bytes of a file, or of what an http server has there (by the system's curl).
private func fetch(_ place: String) throws -> Data {
  guard place.hasPrefix("http://") || place.hasPrefix("https://") else {
    guard let data = FileManager.default.contents(atPath: place) else {
      throw StoreError.missing(
        path: place, what: "no such file", remedy: "check the path, or write an index: ablate plugin index FOLDER")
    }
    return data
  }
  let file = NSTemporaryDirectory() + "ablate-fetch-\(UUID().uuidString)"
  defer { try? FileManager.default.removeItem(atPath: file) }
  let limits = [
    "--fail", "--silent", "--show-error", "--location", "--max-time", "300", "--max-filesize", "1073741824",
  ]
  guard let curl = try Tool("curl", limits + ["--output", file, place]) else {
    throw StoreError.registry(
      path: place, problem: "there is no program 'curl' here", remedy: "install it, or fetch the file by hand")
  }
  guard curl.status == 0, let data = FileManager.default.contents(atPath: file) else {
    throw StoreError.registry(
      path: place, problem: curl.errors.trimmingCharacters(in: .whitespacesAndNewlines), remedy: "check the address")
  }
  return data
}
