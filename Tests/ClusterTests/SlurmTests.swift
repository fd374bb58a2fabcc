import Experiments
import Foundation
import Glibc
import Testing

@Suite(
  .enabled(if: SlurmCluster.missing == nil, Comment(rawValue: SlurmCluster.missing ?? "")),
  .enabled(if: Shell.ablate != nil, "the command is not built beside the tests"), .serialized)
struct SlurmTests {
  @Test func `an ordinary user's study, as arrays with a merge behind them, has the rows of an undivided run`() throws {
    let (study, cluster) = (try SlowStudy(milliseconds: 0), try SlurmCluster(maxArraySize: 3))
    let user = ["runuser", "-u", "nobody", "--"]
    let dry = try cluster.run(user + study.submit("--shards", "4", "--dry-run"))
    #expect(dry.status == 0 && dry.output.contains("#SBATCH --array=1-2\n"), "\(dry.output)")
    #expect(!FileManager.default.fileExists(atPath: study.run.path))
    let submitted = try cluster.run(user + study.submit("--shards", "4", "--sbatch-arg=--nice=1"))
    #expect(
      submitted.status == 0 && submitted.output.contains("submitted 4 of 4 shards: job 1, "), "\(submitted.output)")
    try cluster.finish()
    #expect(try study.rows(in: study.run.path) == study.whole(), "\(study.log(".log"))")
    #expect(study.log("merge.log").contains("27 trials in \(study.run.path): 27 completed, 0 failed, 0 missing"))
    #expect(FileManager.default.fileExists(atPath: study.run.file("report.md")))
    #expect(try study.status(cluster).contains("27 of 27 trials; shards: 4 done\n"))
    let again = try cluster.run(study.submit())
    #expect(again.status == 0 && again.output.contains("nothing to submit"), "\(again.output)")
  }

  @Test func `a task that is killed loses nothing stored, and submitting again runs only its shard`() throws {
    let (study, cluster) = (try SlowStudy(milliseconds: 2000), try SlurmCluster())
    #expect(try cluster.run(study.submit("--shards", "3")).status == 0)
    // The status file is renewed every two seconds.
    try cluster.wait("shard 2 to store something") { study.done(2) > 0 }
    let seen = try study.status(cluster)
    #expect(seen.contains(/2\/3 +running +\d\/9 trials/), "\(seen)")
    let process = try #require(RunStatus(of: study.run.shard(2))?.process)
    kill(pid_t(process), SIGKILL)
    try cluster.finish()
    #expect(study.log("merge.log").contains("trials are missing: shard 2 lacks"))
    let after = try study.status(cluster)
    #expect(after.contains(/2\/3 +lost/) && after.contains("2 done, 1 lost"), "\(after)")
    let again = try cluster.run(study.submit())
    #expect(again.output.contains("submitted 1 of 3 shards"), "\(again.output)")
    try cluster.finish()
    #expect(study.log("_2.log").contains(" stored before"))
    #expect(try study.rows(in: study.run.path) == study.whole(), "\(study.log(".log"))")
  }

  @Test func `a node whose network goes away is replaced, and what its orphan still writes does no harm`() throws {
    let (study, cluster) = (try SlowStudy(milliseconds: 2500), try SlurmCluster())
    guard cluster.hasNetworks else {
      print("skipped: no network namespaces here, so that no node can lose its network")
      return
    }
    #expect(try cluster.run(study.submit("--shards", "1")).status == 0)
    try cluster.wait("the shard to store something") { study.done(1) > 0 }
    let node = try cluster.run(["squeue", "--noheader", "--states=RUNNING", "--format=%N"]).output
      .trimmingCharacters(in: .whitespacesAndNewlines)
    try #require(node.hasPrefix("n"), "\(node)")
    try cluster.network("down", of: node)
    try cluster.finish()
    let log = study.log("_1.log")
    #expect(log.contains("start 1"), "\(log)")
    // Where the orphan on the lost node still holds its store, the requeued task has one of its own beside it.
    #expect(try study.rows(in: study.run.path) == study.whole(), "\(study.log(".log"))")
    let merged = try cluster.run([try #require(Shell.ablate), "merge", study.run.path])
    #expect(merged.status == 0, "\(merged.output)")
    try cluster.network("up", of: node)
  }

  @Test func `before its time is over a task stores what it has, goes back into the queue and resumes`() throws {
    let (study, cluster) = (try SlowStudy(examples: 6, milliseconds: 6000), try SlurmCluster())
    // Slurm counts in minutes, and looks every half minute whether it is time to signal.
    let limit = ["--sbatch-arg=--time=1", "--sbatch-arg=--signal=B:USR1@55"]
    let submitted = try cluster.run(study.submit("--shards", "1") + limit)
    #expect(submitted.status == 0, "\(submitted.output)")
    try cluster.finish()
    let log = study.log("_1.log")
    #expect(log.contains("SIGUSR1: stopped with 75, going back into the queue") && log.contains("start 1"), "\(log)")
    #expect(log.contains(/interrupted; \d+ of 18 trials are stored/), "\(log)")
    #expect(try study.rows(in: study.run.path) == study.whole(), "\(study.log(".log"))")
  }

  @Test func `a task that is cancelled stays cancelled`() throws {
    let (study, cluster) = (try SlowStudy(milliseconds: 1000), try SlurmCluster())
    #expect(try cluster.run(study.submit("--shards", "1")).status == 0)
    try cluster.wait("the shard to store something") { study.done(1) > 0 }
    #expect(try cluster.run(["scancel", "1"]).status == 0)
    try cluster.finish()
    #expect(!study.log("_1.log").contains("start 1"))
    #expect(RunStatus(of: study.run.shard(1))?.state == .stopped, "\(study.log("_1.log"))")
  }

  @Test func `a shard that fails keeps the others from nothing, and says why`() throws {
    let (study, cluster) = (try SlowStudy(milliseconds: 0, damaged: 4), try SlurmCluster())
    #expect(try cluster.run(study.submit("--shards", "3", "--by-count")).status == 0)
    try cluster.finish()
    let said = study.log("merge.log")
    #expect(said.contains("of 27 trials are missing: shard 2 lacks"), "\(said)")
    #expect(said.contains(/2[0-9] completed, 0 failed/) || said.contains(/1[0-9] completed, 0 failed/), "\(said)")
    let states = try study.status(cluster)
    #expect(states.contains(/2\/3 +failed/) && states.contains("2 done, 1 failed"), "\(states)")
    let merged = try cluster.run([try #require(Shell.ablate), "merge", study.run.path])
    #expect(merged.status == 75)
  }
}
