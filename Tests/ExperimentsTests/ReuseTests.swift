import Diagnostics
import Experiments
import Foundation
import GRDB
import TestSupport
import Testing

/// Reuse seen from outside: the same rows with and without it, less computed, and a command that checks a run.
@Suite(.enabled(if: Command.path != nil, "the command is not built beside the tests"))
struct ReuseTests {
  @Test func `a run has the same rows and receipts with and without reuse, and verify finds its values again`() throws {
    let study = try TinyStudy()
    let (with, without) = (try study.finish(out: "with"), try study.finish(out: "without", extra: ["--no-reuse"]))
    #expect(with.status == 0 && without.status == 0, "\(with.errors)\(without.errors)")
    if try study.engine("with")["row_invariant"] == .bool(true) {
      #expect(try study.folder.rows(in: "with") == study.folder.rows(in: "without"))
    }
    let (shared, full) = (try study.multiplyAdds("with"), try study.multiplyAdds("without"))
    #expect(shared.computed < shared.full && full.full == shared.full)

    let run = study.folder.file("with")
    let good = try Command.finish(["verify", run, "--sample", "5"])
    #expect(good.status == 0 && good.output.hasPrefix("5 trials, "), "\(good.output)\(good.errors)")

    try RunStore(path: RunFolder(run).store).write {
      try $0.execute(
        sql: "UPDATE measurements SET value = value + 1 WHERE rowid = (SELECT min(rowid) FROM measurements)")
    }
    let bad = try Command.finish(["verify", run, "--sample", "1000"])
    #expect(bad.status == 65 && bad.errors.contains("1 of 24 trials have other values: demo-"), "\(bad.errors)")
    #expect(try Command.finish(["verify", study.folder.path]).status == 66)
  }
}

extension TinyStudy {
  fileprivate func engine(_ run: String) throws -> JSON {
    let facts = try RunStore(path: RunFolder(folder.file(run)).store, readOnly: true).read {
      try String.fetchOne($0, sql: "SELECT facts FROM engines ORDER BY rowid LIMIT 1")
    }
    return try JSON(parsing: facts ?? "null")
  }

  fileprivate func multiplyAdds(_ run: String) throws -> (computed: Int, full: Int) {
    guard case .int(let computed)? = try engine(run)["multiply_adds"]?["computed"],
      case .int(let full)? = try engine(run)["multiply_adds"]?["full"]
    else { return (0, 0) }
    return (computed, full)
  }
}
