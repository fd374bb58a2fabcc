import Foundation
import Models
import PluginHost
import PluginRuntime
import Testing

/// Seconds after which a call counts as hung, for all workers of the tests.
private let patience: Bool = setenv("ABLATE_WORKER_SECONDS", "2", 1) == 0

extension Placement {
  static let worker = Placement(.worker, .asked(by: "the test"))
}

@Suite(.serialized) struct `a plugin in a worker` {
  init() { #expect(patience) }

  // MARK: the numbers

  private static let labels = [ItemFacts.Label(field: "part/leg", text: "leg", ids: [77])]

  struct Use: Sendable, CustomTestStringConvertible {
    let name: String
    var with: [String: String] = [:]
    var isProbe = false
    var testDescription: String { name }
  }

  static let uses = [
    Use(name: "identity"), Use(name: "attention-knockout", with: ["block": "outside_window", "radius": "1"]),
    Use(name: "zero-heads", with: ["heads": "0", "layers": "1"]),
    Use(name: "scale", with: ["factor": "0.5", "layers": "0"]),
    Use(name: "random-edges", with: ["tower": "text", "queries": "question", "keys": "image"]),
    Use(name: "attention-mass", with: ["tokens": "last"], isProbe: true), Use(name: "logit-lens", isProbe: true),
  ]

  @Test func `is each of the bundled ones, those that learn in tests of their own`() {
    let tested = Set(Self.uses.map(\.name) + WorkerFitTests.learning + ["tuned-lens"])
    #expect(tested.isSuperset(of: `the bundled plugins`.names))
  }

  @Test(arguments: uses) func `gives the bits, rows and receipts that it gives in process`(use: Use) throws {
    let host = try HostCase("gqa", newTokens: 3, labels: Self.labels, masks: ["part/leg": [3, 4, 9]])
    func run(_ executor: Executor) throws -> ConditionOutcome {
      let spec = try AttachmentSpec.bundled(use.name, use.with, executor: executor)
      let steps = use.isProbe ? [try AttachmentSpec.bundled("zero-heads", ["heads": "1"])] : [spec]
      let outcomes = try host.run(
        [("it", steps)], probes: use.isProbe ? [("probe", spec)] : [], at: ["text.*.resid_post"])
      return try #require(outcomes["it"])
    }
    let (here, there) = (try run(.inProcess), try run(.worker))
    #expect(here.failure == nil && there.failure == nil)
    #expect(here.logitBits == there.logitBits && here.activations == there.activations)
    #expect(here.output.generated == there.output.generated)
    #expect("\(here.receipts)" == "\(there.receipts)")  // NaN is no equal of NaN
    #expect("\(here.tables)" == "\(there.tables)" && here.tables.isEmpty != use.isProbe)
  }

  @Test func `draws the random words that it draws in process`() throws {
    let host = try HostCase("mha")
    func bits(_ executor: Executor) throws -> [UInt32] {
      let spec = try AttachmentSpec.bundled("random-edges", ["tower": "text", "match": "mass"], executor: executor)
      return try host.run([spec]).logitBits
    }
    #expect(try bits(.worker) == bits(.inProcess))
  }

  // MARK: failures

  @Test(arguments: BadPlugin.inPass)
  func `costs its lane at most, by name, place and reason, and the others keep their bits`(
    bad: BadPlugin
  ) throws {
    let shop = try PluginWorkshop()
    let spec = AttachmentSpec.plugin(try bad.build(in: shop), parameters: [:], placement: .worker)
    let host = try HostCase("gqa", newTokens: 2)
    let half = try AttachmentSpec.bundled("scale", ["factor": "0.5", "layers": "0"])
    let points = ["text.*.resid_post"]
    let alone = try host.run([("clean", []), ("half", [half])], at: points)
    let outcomes = try host.run([("clean", []), ("bad", [spec]), ("half", [half])], at: points)
    let failure = try #require(outcomes["bad"]).failure
    #expect(failure?.point == bad.point, "\(String(describing: failure))")
    if bad.point != nil {
      #expect(failure?.plugin == "bad" && failure?.reason.hasPrefix(bad.reason) == true, "\(failure?.reason ?? "none")")
    }
    for name in ["clean", "half"] {
      let (before, after) = (try #require(alone[name]), try #require(outcomes[name]))
      #expect(after.failure == nil && before.activations == after.activations)
      #expect(before.logitBits == after.logitBits && before.output.generated == after.output.generated)
    }
  }

  @Test(arguments: BadPlugin.beforePass) func `is refused before anything runs where it fails that early`(
    bad: BadPlugin
  )
    throws
  {
    let shop = try PluginWorkshop()
    let spec = AttachmentSpec.plugin(try bad.build(in: shop), parameters: [:], placement: .worker)
    let error = #expect(throws: HostError.self) { _ = try HostCase("gqa").run([spec]) }
    let diagnosis = try #require(error?.diagnosis)
    #expect(diagnosis.what.contains(bad.reason), "\(diagnosis)")
    #expect(diagnosis.place.contains(bad.point ?? ""), "\(diagnosis)")
  }

  private func items(_ host: HostCase, _ count: Int) -> [Item] {
    (0..<count).map { Item(id: "\($0)", index: $0, input: host.input) }
  }

  private func outcomes(_ name: String, items: Int, _ executor: Executor = .worker) throws -> [ConditionOutcome] {
    let shop = try PluginWorkshop()
    let spec = AttachmentSpec.plugin(
      try BadPlugin(name).build(in: shop), parameters: [:], placement: Placement(executor, .asked(by: "the test")))
    let host = try HostCase("mha")
    let session = try Session(host.model, conditions: [(name: "it", steps: [spec])], probes: [], seed: 1)
    return try self.items(host, items).flatMap {
      try session.run($0, conditions: ["it"], Session.Wish(outputRows: [host.lastRow]))
    }
  }

  @Test func `is started again after a crash and gives the same bits as before`() throws {
    let (all, good) = (try outcomes("38-segv-once", items: 3), try outcomes("00-good", items: 1))
    #expect(all[1].failure?.point == "begin_lane" && all[1].failure?.reason == "it ended with signal 11 (SIGSEGV)")
    #expect(all[0].failure == nil && all[2].failure == nil)
    #expect(all[0].logitBits == good[0].logitBits && all[2].logitBits == good[0].logitBits)
  }

  @Test func `is in quarantine after its third crash, and its trials say so`() throws {
    let reasons = try outcomes("38-segv", items: 5).map { $0.failure?.reason ?? "" }
    #expect(reasons.prefix(3).allSatisfy { $0 == "it ended with signal 11 (SIGSEGV)" })
    #expect(
      reasons.suffix(2).allSatisfy {
        $0 == "is in quarantine after 3 ends of its worker; the last: at text.1.z: it ended with signal 11 (SIGSEGV)"
      })
  }

  @Test func `that is a probe loses the lanes that were open when it crashed`() throws {
    let shop = try PluginWorkshop()
    var manifest = try BadPlugin("38-segv").build(in: shop)
    let source = """
      #define ACCESS ABLATE_READ
      #define PLUGIN .kind = ABLATE_PROBE
      #define ON_EVENT if (event->slices[s].lane == 1) *(volatile int *)0 = 1;
      #include "bad.h"
      """
    try shop.compile(
      source, to: "bad.so", ["-shared", "-fPIC", "-w", "-I\(PluginWorkshop.root)/Tests/Fixtures/bad-plugins"])
    let text = String(decoding: manifest.source, as: UTF8.self)
    let probe = text.replacing("intervention", with: "probe").replacing("\"rw\"", with: "\"r\"")
    manifest = try PluginManifest(path: shop.write(probe, to: "plugin.json"))
    let spec = AttachmentSpec.plugin(manifest, parameters: [:], placement: .worker)
    let outcomes = try HostCase("mha").run([("a", []), ("b", [])], probes: [("watch", spec)])
    for name in ["a", "b"] {
      let reason = outcomes[name]?.failure?.reason ?? "none"
      #expect(reason.hasSuffix("it ended with signal 11 (SIGSEGV)"), "\(name): \(reason)")
    }
  }

  // MARK: what holds it

  @Test func `says what holds it, for provenance`() throws {
    let host = try HostCase("mha")
    let spec = try AttachmentSpec.bundled("identity", executor: .worker)
    let session = try Session(
      host.model, conditions: [(name: "a", steps: [spec]), (name: "b", steps: [try .bundled("identity")])], probes: [],
      seed: 1)
    #expect(session.placements.map(\.plugin) == ["identity", "identity"])
    #expect(session.placements[1].placement == "in-process: asked for by the test")
    let there = session.placements[0].placement
    for means in ["worker (", "rlimits", "no_new_privs", "seccomp", "): asked for by the test"] {
      #expect(there.contains(means), "\(there)")
    }
  }

  @Test func `runs in a program that has neither models nor oneDNN in it`() throws {
    let program = try Data(contentsOf: URL(fileURLWithPath: WorkerProcess.executable()))
    #expect(program.range(of: Data("libseccomp.so".utf8)) != nil && program.range(of: Data("libdnnl".utf8)) == nil)
  }

  @Test func `that nobody vouches for is refused where the kernel cannot hold it, and runs there when it is asked for`()
    throws
  {
    // A program that takes Landlock's calls away and then becomes the worker: a kernel without it.
    let shop = try PluginWorkshop()
    let program = try shop.compile(
      """
      #include <linux/filter.h>
      #include <linux/seccomp.h>
      #include <errno.h>
      #include <stddef.h>
      #include <sys/prctl.h>
      #include <unistd.h>
      int main(int n, char **arguments) {
        struct sock_filter code[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 444, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        struct sock_fprog filter = {4, code};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
        execv("\(try WorkerProcess.executable())", arguments);
        return 1; }
      """, to: "older-kernel", [])
    setenv("ABLATE_WORKER", program, 1)
    defer { unsetenv("ABLATE_WORKER") }
    let manifest = try BadPlugin("00-good").build(in: shop)
    let host = try HostCase("mha")
    let error = #expect(throws: HostError.self) {
      _ = try host.run([.plugin(manifest, parameters: [:], placement: Placement(.worker, .untrusted))])
    }
    #expect(
      error?.diagnosis.what.hasSuffix("this kernel cannot hold it: no landlock") == true, "\(String(describing: error))"
    )
    #expect(error?.diagnosis.remedy.contains("--worker takes the worker as it is") == true)
    #expect(try host.run([.plugin(manifest, parameters: [:], placement: .worker)]).failure == nil)
  }

  @Test func `without its program is refused by the program's path`() throws {
    setenv("ABLATE_WORKER", "/nowhere/ablate-worker", 1)
    defer { unsetenv("ABLATE_WORKER") }
    let error = #expect(throws: HostError.self) {
      _ = try HostCase("mha").run([.bundled("identity", executor: .worker)])
    }
    #expect(error?.diagnosis.exit == .missingInput && error?.diagnosis.place == "/nowhere/ablate-worker")
  }

  @Test(arguments: ["0", "-1", "soon", "nan"]) func `takes no limit that is none`(text: String) {
    let error = pluginError { _ = try WorkerLimits(environment: ["ABLATE_WORKER_SECONDS": text]) }
    #expect(error?.diagnosis.exit == .usage && error?.diagnosis.place == "$ABLATE_WORKER_SECONDS")
  }
}
