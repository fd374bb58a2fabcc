import Foundation
import Glibc
import Testing

/// A registry on a static file server: index, search and install over http, and what a wrong server leads to.
@Suite struct RegistryServerTests {
  /// `python3 -m http.server` on a port of its own, for as long as this value lives.
  private final class Server {
    private let process = Process()
    let address: String

    init(of folder: String) throws {
      let output = Pipe()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
      process.arguments = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]
      process.standardOutput = output
      process.standardError = FileHandle.nullDevice
      try process.run()
      // Serving HTTP on 127.0.0.1 port 43117 (http://127.0.0.1:43117/) ...
      let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
      let port = try #require(line.firstMatch(of: /port (\d+)/)?.1, "\(line)")
      address = "http://127.0.0.1:\(port)"
    }

    /// A child of the tests may have inherited that it does not hear SIGTERM.
    deinit { kill(process.processIdentifier, SIGKILL) }
  }

  @Test func `search and install find what index has written, and a file that is another is refused`() throws {
    let scratch = try Scratch()
    func ablate(_ arguments: String..., status: Int32 = 0, told: String) throws {
      let outcome = try Command.run(
        ["plugin"] + arguments, in: scratch, environment: ["XDG_DATA_HOME": scratch.file("data")])
      #expect(outcome.status == status, "\(outcome.errors)")
      #expect((outcome.output + outcome.errors).contains(told), "\(outcome.output)\(outcome.errors)")
    }
    try FileManager.default.createDirectory(atPath: scratch.file("shelf"), withIntermediateDirectories: true)
    try ablate("pack", "scale", "--out", "shelf", told: "scale")
    try ablate("index", "shelf", told: "1 packs in shelf/index.json")
    let server = try Server(of: scratch.file("shelf"))
    try ablate("search", "multiplies", "--registry", server.address, told: "scale")
    try ablate("install", "scale", "--registry", server.address + "/", told: "installed scale")
    #expect(FileManager.default.fileExists(atPath: scratch.file("data/ablate/plugins/scale/scale.so")))
    let pack = try #require(
      try FileManager.default.contentsOfDirectory(atPath: scratch.file("shelf")).first { $0 != "index.json" })
    try ablate("install", "\(server.address)/\(pack)", told: "installed scale")
    try ablate("install", "absent", "--registry", server.address, status: 66, told: "it has: scale")
    try ablate("search", "--registry", server.address + "/nowhere", status: 66, told: "404")
    try scratch.write(try scratch.bytes("shelf/\(pack)") + Data([0]), to: "shelf/\(pack)")
    try ablate(
      "install", "scale", "--registry", server.address, status: 65, told: "it is not the file that index.json names")
    withExtendedLifetime(server) {}
  }
}
