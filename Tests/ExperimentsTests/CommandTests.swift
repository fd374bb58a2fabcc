import Experiments
import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: Command.path != nil, "the command is not built beside the tests"))
struct CommandTests {
  /// To renew: `ablate plan manifests/NAME.yaml --json > Tests/ExperimentsTests/Golden/NAME.plan.json`.
  @Test func `the plan of each shipped manifest is the committed one`() throws {
    for name in try shippedManifests() {
      let golden = repository.appendingPathComponent("Tests/ExperimentsTests/Golden/\(name.dropLast(5)).plan.json")
      let plan = try Command.finish(["plan", "manifests/\(name)", "--json"])
      #expect(plan.status == 0, "\(plan.errors)")
      #expect(try plan.output == String(contentsOf: golden, encoding: .utf8), "\(name)")
    }
  }

  @Test func `bad input gives one clear message and its exit code, and leaves nothing behind`() throws {
    let folder = try TemporaryFolder()
    let tiny = try TinyStudy()
    let study = try String(contentsOfFile: tiny.folder.file("tiny.yaml"), encoding: .utf8)
    let cases: [(name: String, text: String?, status: Int32, words: String)] = [
      ("absent", nil, 66, "there is no such manifest"),
      ("typo", study.replacing("readings", with: "reading"), 65, "did you mean 'readings'?"),
      ("dataset", study.replacing("data/parts", with: "data/nowhere"), 66, "no metadata.jsonl in the dataset's folder"),
      ("model", study.replacing("demo-control", with: "demo-contrl"), 66, "demo-contrl"),
      ("plugin", study.replacing("attention-knockout", with: "attention-knockuot"), 66, "attention-knockuot"),
      ("value", study.replacing("tower: vision", with: "tower: visoin"), 65, "visoin"),
      ("parameter", study.replacing("tower: vision", with: "towr: vision"), 65, "towr"),
    ]
    for (name, text, status, words) in cases {
      let path = folder.file("\(name).yaml")
      if let text { try folder.write(text, to: "\(name).yaml") }
      let result = try Command.finish(["run", path, "--out", folder.file(name)])
      #expect(result.status == status, "\(name): \(result.errors)")
      #expect(result.errors.contains(words), "\(name): \(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.file(name)), "\(name) left a run folder")
    }
    #expect(try Command.finish(["run"]).status == 64)
    #expect(try Command.finish(["report", folder.path]).status == 66)
  }

  @Test func `a run, its report and a second run that has nothing to do`() throws {
    let study = try TinyStudy()
    let first = try study.finish(out: "run")
    #expect(first.status == 0, "\(first.errors)")
    #expect(first.errors.contains("24/24 trials"))
    let report = try Command.finish(["report", study.folder.file("run")])
    #expect(
      report.status == 0 && report.output.hasPrefix("tiny: 24 of 24 trials: 2 models x 6 examples x 2 conditions"))
    #expect(FileManager.default.fileExists(atPath: study.folder.file("run/report.md")))
    let again = try Command.finish(["run", study.folder.file("tiny.yaml"), "--out", study.folder.file("run")])
    #expect(again.status == 0 && again.output.contains("0 computed now, 24 stored before, 0 failed"))
  }
}
