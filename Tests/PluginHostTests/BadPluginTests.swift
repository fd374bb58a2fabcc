import Foundation
import Models
import PluginHost
import PluginRuntime
import TestSupport
import Testing

/// Promise 7: a plugin that breaks its footprint fails its own lane, by name and hook point; the other lanes keep their bits.
@Suite(.serialized) struct BadPluginTests {
  struct Fault: Sendable, CustomTestStringConvertible {
    var name: String
    var body: String
    var reason: String
    var access = 3
    var isProbe = false
    var testDescription: String { name }
  }

  static let faults = [
    Fault(
      name: "writes one float behind its view", body: "x[n] = 0;", reason: "wrote outside the slice that it declared"),
    Fault(
      name: "writes one float before its view", body: "x[-1] = 0;", reason: "wrote outside the slice that it declared"),
    Fault(name: "writes NaN", body: "x[1] = __builtin_nanf(\"\");", reason: "wrote 1 values that are not finite"),
    Fault(
      name: "writes infinity", body: "x[0] = x[2] = __builtin_inff();", reason: "wrote 2 values that are not finite"),
    Fault(
      name: "returns an error", body: "snprintf(e->message, e->capacity, \"no idea\"); return ABLATE_E_INTERNAL;",
      reason: "internal error: no idea"),
    Fault(
      name: "writes what it only reads", body: "x[0] += 1;", reason: "wrote to a slice that it declared as read-only",
      access: 1),
    Fault(
      name: "is a probe that writes", body: "x[0] += 1;", reason: "wrote to a slice that it declared as read-only",
      access: 1,
      isProbe: true),
  ]

  @Test(arguments: faults) func `it fails its lane by name and place, and the others keep their bits`(fault: Fault)
    throws
  {
    let shop = try PluginWorkshop()
    let bad = AttachmentSpec.plugin(try build(fault, in: shop), parameters: [:])
    let host = try HostCase("gqa", newTokens: 3)
    let half = try AttachmentSpec.bundled("scale", ["factor": "0.5", "layers": "0"])
    let points = ["text.*.resid_post"]
    let alone = try host.run([("clean", []), ("half", [half])], at: points)
    let conditions = [("clean", []), ("bad", fault.isProbe ? [] : [bad]), ("half", [half])]
    let outcomes = try host.run(conditions, probes: fault.isProbe ? [("watch", bad)] : [], at: points)
    let failed = try #require(outcomes["bad"])
    #expect(failed.failure?.plugin == "bad" && failed.failure?.point == "text.1.z")
    #expect(failed.failure?.reason == fault.reason)
    #expect(failed.output.generated.isEmpty && failed.output.logits.count == 0)
    guard !fault.isProbe else { return }  // a probe watches every lane
    for name in ["clean", "half"] {
      let (before, after) = (try #require(alone[name]), try #require(outcomes[name]))
      #expect(after.failure == nil && before.activations == after.activations)
      #expect(before.logitBits == after.logitBits && before.output.generated == after.output.generated)
      #expect(after.output.generated.count == 3)
    }
  }

  @Test func `an intervention is refused as a probe, by name`() throws {
    let host = try HostCase("mha")
    let error = #expect(throws: HostError.self) {
      _ = try host.run([("clean", [])], probes: [("watch", .bundled("identity"))])
    }
    #expect(error?.diagnosis.place == "plugin identity, probe 'watch'")
  }

  @Test func `a plugin that a well-behaved one follows leaves the second uncalled`() throws {
    let shop = try PluginWorkshop()
    let bad = AttachmentSpec.plugin(try build(Self.faults[0], in: shop), parameters: [:])
    let outcome = try HostCase("mha").run([bad, .bundled("zero-heads", ["heads": "0", "layers": "1"])])
    #expect(outcome.failure?.plugin == "bad" && outcome.receipts[1].visitsMade == 0)
  }

  private func build(_ fault: Fault, in shop: borrowing PluginWorkshop) throws -> PluginManifest {
    let source = PluginSource.c(
      descriptor: ", .plan = at_z, .on_event = on_event\(fault.isProbe ? ", .kind = 2" : "")",
      body: """
        static ablate_access accesses[] = {{.struct_size = sizeof(ablate_access), .access = \(fault.access),
          .tower = "text", .site = "z", .layer_first = 1, .layer_last = 1}};
        static ablate_status at_z(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
          (void)s, (void)i, (void)e; o->accesses = accesses, o->n_accesses = 1; return ABLATE_OK; }
        static ablate_status on_event(void *s, const ablate_event *v, ablate_error *e) {
          (void)s, (void)e;
          for (uint64_t i = 0; i < v->n_slices; i++) {
            ablate_tensor *view = v->slices[i].view;
            float *x = (float *)((char *)view->data + view->byte_offset);
            uint64_t n = view->size_bytes / sizeof *x; (void)n;
            \(fault.body) }
          return ABLATE_OK; }
        """)
    try shop.compile(source, to: "bad.so", ["-shared", "-fPIC", "-w"])
    guard fault.isProbe else { return try shop.manifest(library: "bad.so") }
    let footprint = #"{"tower": "text", "sites": ["z"], "access": "r"}"#
    let json = PluginSource.manifest(kind: "probe", library: "bad.so", footprint: footprint)
    return try PluginManifest(path: shop.write(json, to: "plugin.json"))
  }
}
