import ArgumentParser
import Foundation
import PluginRuntime
import PluginStore

struct PluginPackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pack", abstract: "One file to hand on: plugin.json, libraries, golden case, licence, digests.")

  @Argument(help: "A plugin, built for this machine.") var plugin: String
  @Option(help: "A library for another platform, as linux-aarch64=PATH; several may be given.") var binary: [String] =
    []
  @Option(help: "The file, or a folder for it; by default ID-VERSION.ablate-plugin here.") var out = "."

  func run() throws {
    let binaries = try binary.map { text in
      let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ValidationError("--binary '\(text)' is not PLATFORM=PATH") }
      return (platform: parts[0], path: parts[1])
    }
    let pack = try Pack(PluginSearch(base: nil).manifest(of: plugin), binaries: binaries)
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: out, isDirectory: &isFolder)
    let path = exists && isFolder.boolValue ? (out as NSString).appendingPathComponent(pack.fileName) : out
    try write(pack, to: path)
    print("packed \(path): \(pack.platforms.joined(separator: ", "))")
  }
}

struct PluginSignCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sign", abstract: "Sign a pack with an Ed25519 key.",
    discussion: """
      A key is made by `openssl genpkey -algorithm ed25519 -out key.pem`; what others need is the public half,
      `openssl pkey -in key.pem -pubout -out NAME.pem`, which they put into $XDG_DATA_HOME/ablate/keys.
      """)

  @Argument(help: "The pack, which is written anew.") var pack: String
  @Option(help: "The private key, in PEM.") var key: String

  func run() throws {
    let signed = try Pack(path: pack).signed(keyFile: key)
    try write(signed, to: pack)
    print("signed \(pack) with the key \(signed.signature?.key.hex ?? "")")
  }
}

struct PluginVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Hold a pack against its digests and its signature.",
    discussion: "Exit codes: 0 signed by a known key, 65 anything else.")

  @Argument(help: "The pack.") var pack: String

  func run() throws {
    let pack = try Pack(path: pack)
    guard let name = try pack.signer(KnownKeys()) else {
      throw StoreError.signature(
        path: pack.path,
        problem: "its signature is right, but nobody here knows the key \(pack.signature?.key.hex ?? "")")
    }
    print("\(pack.manifest.id) \(pack.manifest.version), signed by \(name)")
  }
}

/// A file that is there is whole.
private func write(_ pack: Pack, to path: String) throws {
  do { try pack.archive.write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
    throw StoreError.unwritable(path: path, problem: "cannot write there: \(error.localizedDescription)")
  }
}
