import Experiments
import Foundation
import GRDB
import Glibc
import TestSupport
import Testing

/// A PostgreSQL server of the test's own, on a socket in its folder, for as long as the value lives.
final class PostgresServer {
  let folder: TemporaryFolder

  /// The programs of Debian's newest server, in a folder that is in no PATH.
  private static let programs: String? = {
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
    return versions.compactMap { Int($0) }.max().map { "/usr/lib/postgresql/\($0)/bin" }
  }()

  static let missing: String? =
    programs == nil
    ? "not installed: postgresql (make test-deps)" : getuid() == 0 ? nil : "only root can be another user"

  init() throws {
    folder = try TemporaryFolder()
    guard Shell.succeeds(["chown", "postgres", folder.path]),
      try run("initdb", "--pgdata", folder.file("data"), "--auth=trust", "--no-sync"),
      try run(
        "pg_ctl", "start", "--wait", "--pgdata", folder.file("data"), "--log", folder.file("log"), "--options",
        "-k \(folder.path) -c listen_addresses= -c fsync=off")
    else {
      throw SlurmCluster.Unusable(
        words: "no server: \((try? String(contentsOfFile: folder.file("log"), encoding: .utf8)) ?? "")")
    }
  }

  deinit { _ = try? run("pg_ctl", "stop", "--mode=immediate", "--pgdata", folder.file("data")) }

  private func run(_ program: String, _ arguments: String...) throws -> Bool {
    Shell.succeeds(["runuser", "-u", "postgres", "--", "\(Self.programs ?? "")/\(program)"] + arguments)
  }

  var address: String { "postgresql://postgres@/postgres?host=\(folder.path)" }

  func query(_ sql: String) throws -> String {
    try Shell.run(["\(Self.programs ?? "")/psql", "--no-psqlrc", "-At", address, "-c", sql]).output
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }
}

extension Shell {
  static func succeeds(_ command: [String]) -> Bool { (try? run(command).status) == 0 }
}

@Suite(
  .enabled(if: PostgresServer.missing == nil, Comment(rawValue: PostgresServer.missing ?? "")),
  .enabled(if: Shell.ablate != nil, "the command is not built beside the tests"), .serialized)
struct PostgresTests {
  private func export(_ run: String, _ address: String) throws -> Shell.Answer {
    try Shell.run([try #require(Shell.ablate), "export", run, "--to", address])
  }

  @Test func `several people's runs stand in one table, each row once and bit for bit`() throws {
    let (study, server) = (try SlowStudy(examples: 3, milliseconds: 0), try PostgresServer())
    _ = try study.whole()
    let run = study.folder.file("whole")
    let store = try RunStore(path: RunFolder(run).store, readOnly: true)
    let stored = try store.read { try Row.fetchAll($0, sql: Self.rows).map { "\($0[0] as String)|\($0[1] as Double)" } }
    let first = try export(run, server.address)
    #expect(
      first.status == 0 && first.output == "\(stored.count) rows: \(stored.count) added, the others were there\n",
      "\(first.output)")
    let again = try export(run, server.address)
    #expect(again.output.contains(" 0 added"), "\(again.output)")
    // A colleague has run the same trials under another name.
    let mine = try String(contentsOfFile: study.manifest, encoding: .utf8)
    try study.folder.write(mine.replacing("name: slow-study", with: "name: other"), to: "study.yaml")
    let others = try Shell.run(
      [try #require(Shell.ablate), "run", study.manifest, "--out", study.folder.file("other"), "--quiet"])
    #expect(others.status == 0, "\(others.output)")
    #expect(try export(study.folder.file("other"), server.address).status == 0)
    #expect(
      try server.query("SELECT study, count(*) FROM ablate_measurements GROUP BY 1 ORDER BY 1")
        == "other|\(stored.count)\nslow-study|\(stored.count)")
    let sent = try server.query(
      "SELECT concat_ws(' ', key, probe, ordinal), value FROM ablate_measurements WHERE study = 'other' "
        + "ORDER BY key COLLATE \"C\", probe COLLATE \"C\", ordinal")
    #expect(sent.split(separator: "\n").map { Self.normal(String($0)) } == stored.map(Self.normal))
    #expect(try server.query("SELECT count(*) FROM ablate_trials WHERE status = 'completed'") == "18")
  }

  private static let rows = """
    SELECT t.key || ' ' || m.probe || ' ' || row_number() OVER (PARTITION BY m.trial, m.probe ORDER BY m.rowid), m.value
    FROM measurements m JOIN trials t ON t.id = m.trial ORDER BY t.key, m.probe, m.rowid
    """

  /// Both sides print the shortest number that reads back as the same one, in different forms.
  private static func normal(_ line: String) -> String {
    let parts = line.split(separator: "|")
    return "\(parts[0]) \(Double(parts[1])?.bitPattern ?? 0)"
  }

  @Test func `other values for a trial that is there are refused, and nothing is stored`() throws {
    let (study, server) = (try SlowStudy(examples: 2, milliseconds: 0), try PostgresServer())
    _ = try study.whole()
    let run = study.folder.file("whole")
    #expect(try export(run, server.address).status == 0)
    let before = try server.query("SELECT sum(value), count(*) FROM ablate_measurements")
    try RunStore(path: RunFolder(run).store).write {
      try $0.execute(sql: "UPDATE measurements SET value = 77 WHERE rowid = 3")
    }
    let refused = try export(run, server.address)
    #expect(refused.status == 65 && refused.output.contains(/is 77 here and .* there/), "\(refused.output)")
    #expect(try server.query("SELECT sum(value), count(*) FROM ablate_measurements") == before)
  }

  @Test func `a server that is not there is said without the password`() throws {
    let study = try SlowStudy(examples: 1, milliseconds: 0)
    _ = try study.whole()
    let answer = try export(study.folder.file("whole"), "postgres://me:secret@127.0.0.1:1/db")
    #expect(answer.status == 66 && answer.output.contains("postgres://me@127.0.0.1:1/db"), "\(answer.output)")
    #expect(!answer.output.contains("secret"))
  }
}
