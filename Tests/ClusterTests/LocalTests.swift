import Diagnostics
import Experiments
import Foundation
import Glibc
import Testing

@Suite(.enabled(if: Shell.ablate != nil, "the command is not built beside the tests"), .serialized)
struct LocalTests {
  @Test func `shards as processes of this machine have the rows of an undivided run, each on its own processors`()
    throws
  {
    let study = try SlowStudy(milliseconds: 0)
    let answer = try Shell.run(study.submit("--engine", "local", "--shards", "3"))
    #expect(answer.status == 0 && answer.output.contains("27 completed, 0 failed, 0 missing"), "\(answer.output)")
    #expect(try study.rows(in: study.run.path) == study.whole())
    let reports = try [study.run.path, study.folder.file("whole")].map { run in
      try Shell.run([try #require(Shell.ablate), "report", run, "--dry-run"]).output.replacing(/[0-9.]+ s of/, with: "")
    }
    #expect(reports[0] == reports[1] && reports[0].contains("27 of 27 trials"))
    let again = try Shell.run(study.submit("--engine", "local"))
    #expect(again.status == 0 && again.output.contains("nothing to submit"), "\(again.output)")
  }

  @Test func `plugins of a submitted study run where the command says, in its shards and in what it would submit`()
    throws
  {
    let study = try SlowStudy(examples: 2, milliseconds: 0)
    let answer = try Shell.run(study.submit("--engine", "local", "--shards", "2", "--worker"))
    #expect(answer.status == 0, "\(answer.output)")
    for shard in 1...2 {
      let provenance = try String(contentsOfFile: study.run.shard(shard).file("provenance.json"), encoding: .utf8)
      let executors = try JSON(parsing: provenance)["plugin_executors"]
      for plugin in ["./slow", "attention-knockout", "logit-lens"] {
        #expect(executors?[plugin]?.text == "worker, asked for by --worker", "\(provenance)")
      }
    }
    let other = study.folder.file("other")
    let command = [try #require(Shell.ablate), "submit", study.manifest, "--out", other]
    let scripts = try Shell.run(command + ["--shards", "2", "--by-count", "--in-process", "--dry-run"])
    #expect(scripts.output.contains(#"--shard "$SLURM_ARRAY_TASK_ID/2" --in-process &"#), "\(scripts.output)")
    #expect(scripts.output.contains("merge \(other) --in-process && "), "\(scripts.output)")
  }

  @Test func `a failing shard lets the others end, and its exit code is the command's`() throws {
    let study = try SlowStudy(milliseconds: 0, damaged: 4)
    let answer = try Shell.run(study.submit("--engine", "local", "--shards", "3", "--by-count"))
    #expect(answer.status == 65 || answer.status == 66, "\(answer.status) \(answer.output)")
    #expect(
      answer.output.contains("see local/0002.log") && answer.output.contains("shard 3/3: done"), "\(answer.output)")
  }
}
