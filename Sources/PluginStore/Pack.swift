import Diagnostics
import Foundation
import PluginRuntime

/// A plugin as one file to hand on, `ID-VERSION.ablate-plugin`: a tar archive of plugin.json, the golden case, the licence, a library
/// per platform, `digests.json` with the SHA-256 of each, and `signature.json` once it was signed, which is over `digests.json`.
package struct Pack: Sendable {
  package static let suffix = ".ablate-plugin"
  private static let digestsName = "digests.json"
  private static let signatureName = "signature.json"

  #if arch(x86_64)
    package static let platform = "linux-x86_64"
  #elseif arch(arm64)
    package static let platform = "linux-aarch64"
  #endif

  package let path: String
  package let manifest: PluginManifest
  /// Without the two that are about the others; sorted by name.
  let files: [Tar.File]
  package private(set) var signature: Signature?

  package struct Signature: Sendable, Equatable {
    package var key: Data
    package var bytes: Data
  }

  /// Of a plugin's folder, with libraries for other platforms. The library for this one is checked.
  package init(_ manifest: PluginManifest, binaries: [(platform: String, path: String)]) throws {
    _ = try PluginDossier(manifest)
    var files: [Tar.File] = [(PluginManifest.fileName, manifest.source)]
    for name in [manifest.golden, "LICENSE", "LICENSE.txt", "README.md"] {
      if let bytes = FileManager.default.contents(atPath: "\(manifest.folder)/\(name)") { files.append((name, bytes)) }
    }
    for (platform, path) in [(manifest.platform, manifest.libraryPath)] + binaries {
      guard let bytes = FileManager.default.contents(atPath: path) else {
        throw StoreError.missing(path: path, what: "no such library", remedy: "build it first")
      }
      files.append(("\(platform)/\(manifest.library)", bytes))
    }
    (path, self.manifest, self.files) = (manifest.path, manifest, files.sorted { $0.name < $1.name })
    guard let bad = self.files.first(where: { !Tar.isPlain($0.name) }) else { return }
    throw StoreError.pack(path: manifest.path, problem: "'\(bad.name)' is no name for a file in a pack")
  }

  /// Reads a pack and holds every file against its digest. A signature is not verified here.
  package init(bytes: Data, path: String) throws {
    self.path = path
    var all: [Tar.File]
    do { all = try Tar.read(bytes) } catch { throw StoreError.pack(path: path, problem: error.text) }
    func take(_ name: String) -> Data? {
      all.firstIndex { $0.name == name }.map { all.remove(at: $0).bytes }
    }
    let (digests, signature) = (take(Self.digestsName), take(Self.signatureName))
    files = all.sorted { $0.name < $1.name }
    guard let json = files.first(where: { $0.name == PluginManifest.fileName })?.bytes else {
      throw StoreError.pack(path: path, problem: "it has no plugin.json")
    }
    manifest = try PluginManifest(json: json, path: "\(path)/plugin.json")
    self.signature = try signature.map { try Signature($0, path: path) }
    guard digests == self.digests else {
      throw StoreError.pack(path: path, problem: "its files are not those that digests.json lists")
    }
  }

  package init(path: String) throws {
    guard let bytes = FileManager.default.contents(atPath: path) else {
      throw StoreError.missing(path: path, what: "no such pack", remedy: "ablate plugin pack FOLDER makes one")
    }
    try self.init(bytes: bytes, path: path)
  }

  /// Of a whole pack, as an index has it.
  package static func digest(_ bytes: Data) -> String { bytes.withUnsafeBytes { SHA256.hex($0) } }

  package var fileName: String { "\(manifest.id)-\(manifest.version)\(Self.suffix)" }

  package var platforms: [String] {
    files.compactMap { file in
      file.name.hasSuffix("/\(manifest.library)") ? String(file.name.dropLast(manifest.library.count + 1)) : nil
    }
  }

  /// What a signature is over: one line of JSON with the digest of every other file.
  var digests: Data {
    let table = files.map { ($0.name, JSON.string(SHA256.hex($0.bytes))) }
    return Data(
      JSON.object([
        ("ablate_pack", .int(1)), ("id", .string(manifest.id)), ("version", .string(manifest.version)),
        ("files", .object(table)),
      ]).compact.utf8)
  }

  package var archive: Data {
    Tar.write(files + [(Self.digestsName, digests)] + (signature.map { [(Self.signatureName, $0.json)] } ?? []))
  }

  package func signed(keyFile: String) throws(StoreError) -> Pack {
    var pack = self
    let (bytes, key) = try Ed25519.sign(digests, keyFile: keyFile)
    pack.signature = Signature(key: key, bytes: bytes)
    return pack
  }

  /// The name of the known key that signed it, or nil for one that nobody here knows; no signature, or a wrong one, is an error.
  package func signer(_ keys: KnownKeys) throws(StoreError) -> String? {
    guard let signature else { throw .signature(path: path, problem: "it is not signed") }
    guard Ed25519.isValid(signature.bytes, of: digests, by: signature.key) else {
      throw .signature(path: path, problem: "its signature is not over these files")
    }
    return keys.name(of: signature.key)
  }

  /// What is installed of it: the library of this platform beside plugin.json, and the proof of who signed it.
  func installed() throws(StoreError) -> [Tar.File] {
    guard platforms.contains(manifest.platform) else { throw .platform(path: path, has: platforms) }
    let own = files.compactMap { file -> Tar.File? in
      guard file.name.contains("/") else { return file }
      return file.name == "\(manifest.platform)/\(manifest.library)" ? (manifest.library, file.bytes) : nil
    }
    return own + [(Self.digestsName, digests)] + (signature.map { [(Self.signatureName, $0.json)] } ?? [])
  }

  /// Of an installed plugin: who signed these very bytes; nil where nobody known did.
  static func signer(ofInstalled dossier: PluginDossier, _ keys: KnownKeys) -> String? {
    let folder = dossier.manifest.folder
    guard let digests = FileManager.default.contents(atPath: "\(folder)/\(digestsName)"),
      let json = FileManager.default.contents(atPath: "\(folder)/\(signatureName)"),
      let signature = try? Signature(json, path: folder), let name = keys.name(of: signature.key),
      Ed25519.isValid(signature.bytes, of: digests, by: signature.key),
      let table = JSON(try? JSONSerialization.jsonObject(with: digests))?["files"],
      table[PluginManifest.fileName]?.text == SHA256.hex(dossier.manifest.source),
      table["\(dossier.manifest.platform)/\(dossier.manifest.library)"]?.text == dossier.code.sha256
    else { return nil }
    return name
  }
}

extension PluginManifest {
  /// Where a pack has the code that runs here: Python runs anywhere.
  fileprivate var platform: String { grade == .python ? "any" : Pack.platform }
}

extension Pack.Signature {
  fileprivate init(_ json: Data, path: String) throws(StoreError) {
    let fields = JSON(try? JSONSerialization.jsonObject(with: json))
    guard fields?["algorithm"]?.text == "ed25519", let key = Data(hex: fields?["key"]?.text ?? ""),
      let bytes = Data(hex: fields?["signature"]?.text ?? "")
    else { throw .signature(path: path, problem: "signature.json is no Ed25519 signature") }
    (self.key, self.bytes) = (key, bytes)
  }

  fileprivate var json: Data {
    Data(
      JSON.object([
        ("algorithm", .string("ed25519")), ("key", .string(key.hex)), ("signature", .string(bytes.hex)),
      ]).compact.utf8)
  }
}

extension Data {
  package var hex: String { map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined() }

  package init?(hex: String) {
    let digits = Array(hex.utf8)
    guard digits.count % 2 == 0 else { return nil }
    var bytes = Data()
    for i in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(String(decoding: digits[i..<i + 2], as: UTF8.self), radix: 16) else { return nil }
      bytes.append(byte)
    }
    self = bytes
  }
}
