import Foundation
import Testing

/// Packs, signatures, installation and registries: what a user does with a plugin that somebody else built.
@Suite struct PluginShareTests {
  private let scratch: Scratch
  private let environment: [String: String]

  init() throws {
    scratch = try Scratch()
    environment = ["XDG_DATA_HOME": scratch.file("data")]
    try scratch.copy("\(repository)/Plugins/identity", to: "identity")
  }

  @discardableResult
  private func ablate(
    _ arguments: String..., status: Int32 = 0, told: String = "", location: SourceLocation = #_sourceLocation
  )
    throws -> Outcome
  {
    let outcome = try Command.run(["plugin"] + arguments, in: scratch, environment: environment)
    let all = Comment(rawValue: "\(arguments): \(outcome.status) \(outcome.output)\(outcome.errors)")
    #expect(outcome.status == status, all, sourceLocation: location)
    #expect(told.isEmpty || (outcome.output + outcome.errors).contains(told), all, sourceLocation: location)
    return outcome
  }

  /// A key pair of `openssl`, the public half known under this name.
  private func key(_ name: String, isKnown: Bool = true) throws -> String {
    try shell("openssl genpkey -algorithm ed25519 -out \(name).key")
    if isKnown {
      try shell("mkdir -p data/ablate/keys && openssl pkey -in \(name).key -pubout -out data/ablate/keys/\(name).pem")
    }
    return "\(name).key"
  }

  private func shell(_ command: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", command]
    process.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(command)")
  }

  @Test func `a pack is the same bytes each time, and an archive that tar reads`() throws {
    try ablate("pack", "./identity", told: "packed ./identity-")
    try ablate("pack", "./identity", "--out", "again.ablate-plugin")
    let pack = try #require(scratch.entries.first { $0.hasPrefix("identity-") })
    #expect(try scratch.bytes(pack) == scratch.bytes("again.ablate-plugin"))
    try shell("mkdir x && tar xf again.ablate-plugin -C x && cmp x/linux-*/identity.so identity/identity.so")
    try ablate("pack", "./identity", "--binary", "linux-aarch64=identity/identity.so", told: "linux-aarch64")
    try ablate("pack", "./identity", "--binary", "linux-aarch64=nowhere.so", status: 66, told: "no such library")
  }

  @Test func `a signature holds for these bytes and a known key only`() throws {
    try ablate("pack", "./identity", "--out", "p.ablate-plugin")
    try ablate("verify", "p.ablate-plugin", status: 65, told: "it is not signed")
    try ablate("sign", "p.ablate-plugin", "--key", key("alice"), told: "signed p.ablate-plugin")
    try ablate("verify", "p.ablate-plugin", told: ", signed by alice")
    try ablate("sign", "p.ablate-plugin", "--key", key("mallory", isKnown: false))
    try ablate("verify", "p.ablate-plugin", status: 65, told: "nobody here knows the key")
    try ablate("sign", "p.ablate-plugin", "--key", "nobody.key", status: 66, told: "no such key")
    try shell("openssl genpkey -algorithm x25519 -out other.key")
    try ablate("sign", "p.ablate-plugin", "--key", "other.key", status: 65, told: "is no Ed25519 key")
    try scratch.write("no key", to: "data/ablate/keys/bob.pem")
    try ablate("verify", "p.ablate-plugin", status: 65, told: "is no key in PEM")
  }

  @Test func `a pack with any part changed is refused by name`() throws {
    try ablate("pack", "./identity", "--out", "p.ablate-plugin")
    try ablate("sign", "p.ablate-plugin", "--key", key("alice"))
    let whole = try scratch.bytes("p.ablate-plugin")
    for offset in stride(from: 5, to: whole.count, by: 997) where whole[offset] != 0 {
      var bad = whole
      bad[offset] ^= 0x20
      try scratch.write(bad, to: "bad.ablate-plugin")
      let outcome = try Command.run(["plugin", "verify", "bad.ablate-plugin"], in: scratch, environment: environment)
      #expect(outcome.status == 65, "byte \(offset): \(outcome.status) \(outcome.errors)")
    }
    for size in [0, 100, 512, 600, whole.count / 2] {
      try scratch.write(whole.prefix(size), to: "bad.ablate-plugin")
      try ablate("install", "bad.ablate-plugin", status: 65)
    }
    #expect(!FileManager.default.fileExists(atPath: scratch.file("data/ablate/plugins/identity")))
  }

  @Test(arguments: [
    ("ln -s /etc/passwd plugin.json", "is no regular file"),
    ("mkdir -p a/b && cp identity/plugin.json a/b/c", "is no plain name"),
    ("cp identity/plugin.json .hidden", "is no plain name"),
    ("cp identity/golden.json golden.json", "it has no plugin.json"),
  ])
  func `an archive that would write elsewhere is refused`(prepare: String, told: String) throws {
    let member = prepare.contains("a/b/c") ? "a/b/c" : prepare.components(separatedBy: " ").last ?? ""
    try shell("\(prepare) && tar --format=ustar -cf evil.ablate-plugin \(member)")
    try ablate("install", "evil.ablate-plugin", status: 65, told: told)
    try shell("tar --format=ustar -P -cf evil.ablate-plugin --transform 's|.*|../../plugin.json|' identity/plugin.json")
    try ablate("install", "evil.ablate-plugin", status: 65, told: "is no plain name")
  }

  @Test
  func `install puts a plugin where a bare name finds it, tells what a new version changes, and remove takes it away`()
    throws
  {
    try ablate("pack", "./identity", "--out", "one.ablate-plugin")
    try scratch.edit("identity/plugin.json") { $0["version"] = "9.0.0" }
    try ablate("pack", "./identity", status: 70, told: "was built from another plugin.json")
    try ablate("install", "one.ablate-plugin", told: "not signed by a known key")
    let info = try ablate("info", "identity")
    #expect(info.output.contains("data/ablate/plugins/identity/identity.so"))
    try ablate("install", "one.ablate-plugin")
    try ablate("remove", "identity", told: "removed identity")
    try ablate("remove", "identity", status: 66, told: "no plugin 'identity' is installed")
    try ablate("remove", "../../identity", status: 66)
    #expect(FileManager.default.fileExists(atPath: scratch.file("identity/plugin.json")))
  }

  @Test func `a folder with an index is a registry`() throws {
    try FileManager.default.createDirectory(atPath: scratch.file("shelf"), withIntermediateDirectories: true)
    try ablate("pack", "./identity", "--out", "shelf")
    try ablate("pack", "scale", "--out", "shelf")
    try ablate("index", "shelf", told: "2 packs in shelf/index.json")
    let found = try ablate("search", "multiplies", "--registry", "shelf").output
    #expect(found.contains("scale") && !found.contains("identity"))
    try ablate("install", "scale", "--registry", "shelf", told: "installed scale")
    try ablate("install", "absent", "--registry", "shelf", status: 66, told: "it has: identity, scale")
    try ablate("search", status: 66, told: "set ABLATE_PLUGIN_REGISTRY")
    try shell("cp shelf/identity-*.ablate-plugin shelf/$(cd shelf && ls scale-*)")
    try ablate("install", "scale", "--registry", "shelf", status: 65, told: "it is not the file that index.json names")
    try scratch.write("{}", to: "shelf/index.json")
    try ablate("search", "--registry", "shelf", status: 66, told: "is no index of plugins")
  }

  private func writeExperiment(_ name: String, _ conditions: String) throws {
    try scratch.write(
      """
      { ablate: 1, name: \(name), seed: 1, models: [demo-compensating], dataset: { path: \(repository)/data/parts, limit: 1 },
        conditions: \(conditions), readings: [accuracy] }
      """, to: "\(name).yaml")
  }

  @Test func `a lockfile pins the bytes, and another build is refused with the difference in words`() throws {
    try writeExperiment("locked", "{ clean: [], watched: [{ plugin: ./identity }] }")
    try ablate("lock", "locked.yaml", told: "pinned 1 plugins in locked.lock.json")
    func run() throws -> Outcome {
      try Command.run(
        ["run", "locked.yaml", "--out", "run", "--fresh", "--quiet"], in: scratch, environment: environment)
    }
    #expect(try run().status == 0)
    #expect(try scratch.read("run/provenance.json").contains("\"./identity\": \"pinned\""))
    #expect(try scratch.read("run/provenance.json").contains("\"./identity\": \"in-process, pinned\""))
    try shell("strip -o s.so identity/identity.so && mv s.so identity/identity.so")
    let other = try run()
    #expect(
      other.status == 65
        && other.errors.contains("the plugin './identity' is not the one that is pinned: its library has sha256"))
    #expect(other.errors.contains("at: locked.lock.json"))
    try scratch.remove("locked.lock.json")
    #expect(try run().status == 0)
    #expect(try scratch.read("run/provenance.json").contains("\"./identity\": \"none\""))
  }

  @Test
  func `what nobody vouches for runs in a worker, unless the manifest or the command line asks for another place`()
    throws
  {
    func place(_ step: String, _ arguments: String...) throws -> String {
      try writeExperiment("placed", "{ watched: [{ plugin: ./identity\(step) }] }")
      let outcome = try Command.run(
        ["run", "placed.yaml", "--out", "run", "--fresh", "--quiet"] + arguments, in: scratch, environment: environment)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let provenance = try JSONSerialization.jsonObject(with: scratch.bytes("run/provenance.json")) as? [String: Any]
      return (provenance?["plugin_executors"] as? [String: String])?["./identity"] ?? "none"
    }
    #expect(try place("") == "worker, neither bundled, pinned nor signed")
    #expect(try place("", "--in-process") == "in-process, asked for by --in-process")
    #expect(try place(", executor: in-process") == "in-process, asked for by the manifest")
    #expect(try place(", executor: in-process", "--worker") == "worker, asked for by --worker")
    let both = try Command.run(
      ["run", "placed.yaml", "--worker", "--in-process"], in: scratch, environment: environment)
    #expect(both.status == 64 && both.errors.contains("exclude each other"))
  }

  @Test func `an installed plugin that a known key signed says so in provenance, and no longer once it was touched`()
    throws
  {
    try ablate("pack", "./identity", "--out", "p.ablate-plugin")
    try ablate("sign", "p.ablate-plugin", "--key", key("alice"))
    try ablate("install", "p.ablate-plugin", told: "signed by alice")
    try scratch.remove("identity")  // beside the manifest it would be found first
    try writeExperiment("signed", "{ watched: [{ plugin: identity }, { plugin: zero-heads, with: { heads: [0] } }] }")
    func trust() throws -> String {
      let outcome = try Command.run(
        ["run", "signed.yaml", "--out", "run", "--fresh", "--quiet"], in: scratch, environment: environment)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try scratch.read("run/provenance.json")
    }
    let first = try trust()
    #expect(first.contains("\"identity\": \"signed by alice\"") && first.contains("\"zero-heads\": \"bundled\""))
    #expect(first.contains("\"identity\": \"in-process, signed by alice\""))
    #expect(first.contains("\"zero-heads\": \"in-process, bundled\""))
    try shell("strip data/ablate/plugins/identity/identity.so")
    let touched = try trust()
    #expect(touched.contains("\"identity\": \"none\"") && touched.contains("\"identity\": \"worker, neither"))
  }
}
