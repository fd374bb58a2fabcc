import Experiments
import Foundation
import GRDB
import Glibc
import TestSupport
import Testing

/// A small study of a real model, with a plugin that takes its time: long enough to be killed in its middle. It reads how long in its
/// environment, which a worker does not have.
struct SlowStudy {
  let folder: TemporaryFolder
  let run: RunFolder
  private let milliseconds: Int

  /// - Parameters:
  ///   - milliseconds: that every example of a submitted run takes at least; an undivided one does not wait.
  ///   - damaged: the example, from 0, whose image cannot be decoded.
  init(examples: Int = 9, milliseconds: Int, damaged: Int? = nil) throws {
    folder = try TemporaryFolder()
    run = RunFolder(folder.file("run"))
    self.milliseconds = milliseconds
    try folder.write(
      """
      #include <stdint.h>
      #include <stdlib.h>
      #include <unistd.h>
      int32_t slow(float *x, int64_t n) {
        const char *ms = getenv("SLOW_MS");
        if (ms && n > 2) usleep(1000 * atoi(ms)); /* not in the known-answer test, which has its own limit */
        for (int64_t i = 0; i < n; i++) x[i] *= 2;
        return 0;
      }
      """, to: "slow/slow.c")
    try folder.write(
      """
      {"ablate": 1, "id": "slow", "version": "1.0.0", "kind": "intervention", "grade": "plain", "library": "slow.so",
       "abi": {"major": 1, "min_minor": 0},
       "params": [{"id": "tower", "type": "str", "default": "text", "doc": "the tower"},
                  {"id": "site", "type": "str", "default": "resid_pre", "doc": "the activation"},
                  {"id": "layers", "type": "selector", "default": "0", "doc": "the layers"},
                  {"id": "tokens", "type": "selector", "default": "last", "doc": "the rows"}],
       "plain": {"symbol": "slow", "signature": "i32(f32*[n]:rw, i64 n)",
                 "bind": ["view.data", "view.count"],
                 "known_answer": {"input": [1, 2], "expect": [2, 4]}},
       "footprint": [{"tower": "all", "sites": ["all"], "access": "rw"}], "licence": "Apache-2.0", "golden": "golden.json"}
      """, to: "slow/plugin.json")
    let compiled = try Shell.run([
      "cc", "-shared", "-fPIC", "-o", folder.file("slow/slow.so"), folder.file("slow/slow.c"),
    ])
    try #require(compiled.status == 0, "\(compiled.output)")
    try dataset(examples, damaged: damaged)
    try folder.write(
      """
      ablate: 1
      name: slow-study
      models: [demo-compensating]
      dataset: { path: data }
      conditions:
        clean: []
        slow: [{ plugin: ./slow, executor: in-process }]
        cut: [{ plugin: attention-knockout, with: { tower: vision } }]
      probes: { lens: { plugin: logit-lens } }
      readings: [answer_logprob, kl]
      """, to: "study.yaml")
    chmod(folder.path, 0o1777)  // as /tmp: whoever runs may write, and nobody may exchange the plugin
  }

  /// The first examples of the shipped data.
  private func dataset(_ count: Int, damaged: Int?) throws {
    let data = repository + "/data/parts"
    let all = try String(contentsOfFile: data + "/metadata.jsonl", encoding: .utf8).split(separator: "\n")
    try folder.write(all.prefix(count).joined(separator: "\n") + "\n", to: "data/metadata.jsonl")
    for name in try FileManager.default.contentsOfDirectory(atPath: data) where name != "metadata.jsonl" {
      try FileManager.default.copyItem(atPath: "\(data)/\(name)", toPath: folder.file("data/\(name)"))
    }
    guard let damaged else { return }
    let fields = try JSONSerialization.jsonObject(with: Data(all[damaged].utf8)) as? [String: Any]
    let image = try #require(fields?["file_name"] as? String)
    try folder.write("not an image", to: "data/\(image)")
  }

  var manifest: String { folder.file("study.yaml") }

  func submit(_ more: String...) throws -> [String] {
    ["env", "SLOW_MS=\(milliseconds)", try #require(Shell.ablate), "submit", manifest, "--out", run.path] + more
  }

  /// Every table of results of a run, with its ids and in its order.
  func rows(in path: String) throws -> [String] {
    try RunStore(path: RunFolder(path).store, readOnly: true).read { connection in
      try ["trials", "measurements", "receipts"].flatMap { table in
        try Row.fetchAll(connection, sql: "SELECT '\(table)', * FROM \(table) ORDER BY rowid").map { "\($0)" }
      }
    }
  }

  /// The rows of an undivided run.
  func whole() throws -> [String] {
    let out = folder.file("whole")
    let answer = try Shell.run([try #require(Shell.ablate), "run", manifest, "--out", out, "--quiet"])
    try #require(answer.status == 0, "\(answer.output)")
    return try rows(in: out)
  }

  /// How many trials the shard's process says it has stored.
  func done(_ shard: Int) -> Int { RunStatus(of: run.shard(shard))?.done ?? 0 }

  func status(_ cluster: SlurmCluster) throws -> String {
    try cluster.run([try #require(Shell.ablate), "status", run.path]).output
  }

  func log(_ name: String) -> String {
    let folder = run.file("slurm")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(name) }.sorted()
      .compactMap { try? String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8) }.joined()
  }
}
