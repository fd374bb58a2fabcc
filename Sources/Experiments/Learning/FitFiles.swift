import Diagnostics
import Foundation
import PluginHost

/// What probes have learned, one file per fit in the run folder: a line of JSON that says what it is, then the plugin's bytes. A fit is
/// found by everything that it depends on, so that a changed model, dataset or plugin finds none.
final class FitFiles {
  static let folderName = "fits"
  private let folder: RunFolder
  private(set) var made = 0
  private(set) var reused = 0

  init(_ folder: RunFolder) { self.folder = folder }

  /// A fit, learned before or now.
  ///
  /// - Parameters:
  ///   - key: digest of all that the fit depends on.
  ///   - outputs: what the probe answers of each row: the number of classes, or of a lens the width.
  ///   - facts: what a reader of the file is told, an object.
  ///   - make: a probe that has learned nothing.
  ///   - learn: makes it learn.
  /// - Returns: the probe, and what it had to say when it learned.
  func fit(
    _ key: String, outputs: Int, facts: JSON, make: () throws -> LearnedProbe, learn: (LearnedProbe) throws -> Void
  ) throws -> (probe: LearnedProbe, warnings: [String]) {
    if let (state, warnings) = stored(key), let probe = try? make(), (try? probe.load(state, outputs: outputs)) != nil {
      reused += 1
      return (probe, warnings)
    }
    let probe = try make()
    try learn(probe)
    try write(key, facts, state: probe.save(), warnings: probe.warnings)
    made += 1
    return (probe, probe.warnings)
  }

  private func name(_ key: String) -> String { "\(FitFiles.folderName)/\(key).fit" }

  private func write(_ key: String, _ facts: JSON, state: [UInt8], warnings: [String]) throws {
    guard case .object(let fields) = facts else { return }
    let head: [(String, JSON)] = [("schema", .string("ablate.fit/1")), ("key", .string(key))]
    let tail: [(String, JSON)] = [("warnings", .strings(warnings)), ("state_sha256", .string(SHA256.hex(state)))]
    try folder.write(Data((JSON.object(head + fields + tail).compact + "\n").utf8) + state, to: name(key))
  }

  /// nil where there is no such file, or one that is damaged: then it is learned again.
  private func stored(_ key: String) -> (state: [UInt8], warnings: [String])? {
    guard let data = FileManager.default.contents(atPath: folder.file(name(key))),
      let end = data.firstIndex(of: UInt8(ascii: "\n")), let text = String(validating: data[..<end], as: UTF8.self),
      let facts = try? JSON(parsing: text), facts["key"] == .string(key)
    else { return nil }
    let state = [UInt8](data[(end + 1)...])
    guard facts["state_sha256"] == .string(SHA256.hex(state)) else { return nil }
    guard case .array(let warnings)? = facts["warnings"] else { return nil }
    return (state, warnings.compactMap { if case .string(let text) = $0 { text } else { nil } })
  }
}
