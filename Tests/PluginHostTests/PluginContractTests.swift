import Foundation
import PluginABI
import PluginHost
import PluginRuntime
import TestSupport
import Testing

@Suite struct `a plugin that breaks the contract` {
  /// An instance of the workshop's plugin with `body` in place of its plan, and what its plan throws.
  func planError(_ body: String, services: HostServices = .silent) throws -> PluginError? {
    let shop = try PluginWorkshop()
    let source = PluginSource.c(
      descriptor: ", .plan = broken",
      body: """
        static ablate_status broken(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
          (void)s, (void)i, (void)o, (void)e; \(body) return ABLATE_OK; }
        """)
    try shop.compile(source, to: "plan.so")
    let library = try PluginLibrary.open(shop.manifest(library: "plan.so"))
    let instance = try PluginInstance(library, parameters: [], model: ModelFacts(), services: services)
    return pluginError { _ = try instance.plan(nil) }
  }

  @Test(arguments: [
    ("return ABLATE_E_UNSUPPORTED;", "plan", "unsupported, without a message"),
    (
      "snprintf(e->message, e->capacity, \"no heads\"); return ABLATE_E_INVALID;", "plan",
      "invalid parameter or manifest: no heads"
    ),
    ("memset(e->message, 'x', e->capacity + 1);", "plan", "wrote past the end of the error message"),
    ("o->flags = 8;", "plan.flags", "has unknown bits"),
    ("o->n_accesses = 1;", "plan.accesses", "is NULL, but its count is 1"),
    (
      "static ablate_access a = {4, 1, \"text\", \"z\"}; o->accesses = &a, o->n_accesses = 1;", "plan.accesses[0]",
      "struct_size is 4; this host expects 88, or more in steps of 8"
    ),
    (
      "static ablate_access a = {sizeof a, 4, \"text\", \"z\"}; o->accesses = &a, o->n_accesses = 1;",
      "accesses[0].access", "is 4; 1 reads, 2 writes, 3 does both"
    ),
    (
      "static ablate_access a = {sizeof a, 1, NULL, \"z\"}; o->accesses = &a, o->n_accesses = 1;",
      "accesses[0].tower", "is NULL"
    ),
    (
      "static ablate_edit d = {sizeof d, 77, \"text\"}; o->edits = &d, o->n_edits = 1;", "edits[0].op",
      "is 77, which minor \(ABI.minor) does not know"
    ),
    (
      "static ablate_edit d = {sizeof d, 5, \"text\"}; o->edits = &d, o->n_edits = 1;", "edits[0].site",
      "is NULL, but siteScale needs one"
    ),
    (
      "static ablate_edit d = {.struct_size = sizeof d, .op = 8, .tower = \"text\", .site = \"z\", .flags = 2}; o->edits = &d, "
        + "o->n_edits = 1;", "edits[0].flags", "has bits that minor \(ABI.minor) does not know: 2"
    ),
    (
      "static int32_t one = 1; static ablate_edit d = {.struct_size = sizeof d, .op = 1, .tower = \"text\", "
        + ".queries = \"all\", .query_index = &one, .n_query_index = 1}; o->edits = &d, o->n_edits = 1;",
      "edits[0].queries", "is both a selector and a list"
    ),
    (
      "static ablate_access a = {sizeof a, 1, \"text\", \"z\"}; o->accesses = &a, o->n_accesses = 1;", "plan",
      "asks for accesses, but has no on_event"
    ),
  ])
  func `in its plan fails with the field and the reason`(body: String, at: String, reason: String) throws {
    #expect(try planError(body) == .failed(plugin: "bad", at: at, reason: reason))
  }

  @Test func `by planning what its manifest does not name is refused`() throws {
    let error = try planError(
      "static ablate_edit d = {.struct_size = sizeof d, .op = 5, .tower = \"text\", .site = \"q\"}; o->edits = &d, "
        + "o->n_edits = 1;")
    #expect(
      error
        == .planOutside(
          plugin: "bad", request: "edit siteScale at text.q", problem: "is not in the footprint of plugin.json"))
  }

  @Test func `by giving NULL from create fails with its own words`() throws {
    let shop = try PluginWorkshop()
    let source = PluginSource.c(
      descriptor: ", .create = none",
      body: """
        static void *none(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n,
          ablate_error *e) { (void)h, (void)m, (void)v, (void)n; e->code = ABLATE_E_MEMORY; strcpy(e->message, "no room"); return NULL; }
        """)
    try shop.compile(source, to: "create.so")
    let library = try PluginLibrary.open(shop.manifest(library: "create.so"))
    let error = pluginError {
      _ = try PluginInstance(library, parameters: [], model: ModelFacts(), services: .silent)
    }
    #expect(error == .failed(plugin: "bad", at: "create", reason: "out of memory: no room"))
  }

  @Test func `of a newer minor with longer structs is walked by its own stride`() throws {
    let shop = try PluginWorkshop()
    let source = PluginSource.c(
      descriptor: ", .plan = wide, .n_params = 2, .params = (const ablate_param *)wide_params",
      body: """
        typedef struct { ablate_access a; uint64_t more[2]; } wide_access;
        typedef struct { ablate_param p; uint64_t more; } wide_param;
        static const wide_param wide_params[] = {
          {{.struct_size = sizeof(wide_param), .type = 2, .id = "a", .def_int = 5}, ~0ull},
          {{.struct_size = sizeof(wide_param), .type = 4, .id = "b", .def_str = "x"}, ~0ull}};
        static const int32_t heads[] = {3, 1};
        static const wide_access accesses[] = {
          {{.struct_size = sizeof(wide_access), .access = 1, .tower = "text", .site = "z", .layer_last = 4}, {9, 9}},
          {{.struct_size = sizeof(wide_access), .access = 2, .tower = "text", .site = "z", .heads = heads, .n_heads = 2,
            .token_index = heads, .n_token_index = 1}, {9, 9}}};
        static ablate_status wide(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
          (void)s, (void)i, (void)e; o->accesses = (const ablate_access *)accesses, o->n_accesses = 2; return 0; }
        static ablate_status on_event(void *s, const ablate_event *v, ablate_error *e) {
          (void)s, (void)v, (void)e; return 0; }
        """
    ).replacingOccurrences(of: ".plan = plan,", with: ".plan = plan, .on_event = on_event,")
    try shop.compile(source, to: "wide.so", ["-shared", "-fPIC", "-w"])
    let params = #"""
      [{"id": "a", "type": "i64", "doc": "d", "default": 5}, {"id": "b", "type": "str", "doc": "d", "default": "x"}]
      """#
    let library = try PluginLibrary.open(shop.manifest(library: "wide.so", params: params))
    let plan = try PluginInstance(library, parameters: [], model: ModelFacts(), services: .silent).plan(nil)
    #expect(plan.accesses.count == 2 && plan.accesses[0].layers == .range(0, 4))
    #expect(plan.accesses[0].tokens == .selector("all") && plan.accesses[0].heads == nil)
    #expect(plan.accesses[1].heads == [3, 1] && plan.accesses[1].tokens == .rows([3]))
  }

  @Test func `with structs shorter than those of 1.0 is refused by their size`() throws {
    let shop = try PluginWorkshop()
    let source = PluginSource.c(
      descriptor: ", .plan = draft, .on_event = on_event",
      body: """
        static ablate_status draft(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
          (void)s, (void)i, (void)e;
          static ablate_access a = {.struct_size = 80, .access = 1, .tower = "text", .site = "z"};
          o->accesses = &a, o->n_accesses = 1; return 0; }
        static ablate_status on_event(void *s, const ablate_event *v, ablate_error *e) {
          (void)s, (void)v, (void)e; return 0; }
        """)
    try shop.compile(source, to: "draft.so", ["-shared", "-fPIC", "-w"])
    let library = try PluginLibrary.open(shop.manifest(library: "draft.so"))
    let error = pluginError {
      _ = try PluginInstance(library, parameters: [], model: ModelFacts(), services: .silent).plan(nil)
    }
    let size = "struct_size is 80; this host expects 88, or more in steps of 8"
    #expect(error == .failed(plugin: "bad", at: "plan.accesses[0]", reason: size))
  }

  @Test func `that selects rows outside of an item fails, and inside gets those of the grammar`() throws {
    let host = try HostCase("mha")
    let shop = try PluginWorkshop()
    func run(_ selector: String) throws -> ConditionOutcome {
      let source = PluginSource.c(
        descriptor: ", .create = keep, .begin_lane = begin",
        body: """
          static const ablate_host *host;
          static void *keep(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n,
            ablate_error *e) { (void)m, (void)v, (void)n, (void)e; host = h; return malloc(1); }
          static ablate_status begin(void *s, uint32_t lane, const ablate_item *i, ablate_error *e) {
            (void)s, (void)lane, (void)i; int32_t rows[2] = {0};
            int64_t n = host->select(host->ctx, "text", "\(selector)", rows, 2);
            snprintf(e->message, e->capacity, "%d: %d %d", (int)n, rows[0], rows[1]); return ABLATE_E_STATE; }
          """)
      let library = "select\(selector.count).so"
      try shop.compile(source, to: library, ["-shared", "-fPIC", "-w"])
      let spec = AttachmentSpec.plugin(try shop.manifest(library: library), parameters: [:])
      return try host.run([spec])
    }
    #expect(try run("image[1,:]").failure?.reason == "a call out of order: 5: 7 8")
    #expect(try run("nowhere").failure?.reason.contains("select: no rows are called 'nowhere'") == true)
    let outside = try endLane("host->select(host->ctx, \"text\", \"all\", 0, 0);", .silent)
    #expect(outside?.diagnosis.what.contains("select: works inside of plan(item) and begin_lane only") == true)
  }

  /// A plugin whose end_lane runs `body` with the host at hand.
  private static func ending(_ body: String) -> String {
    PluginSource.c(
      descriptor: ", .create = keep, .end_lane = end",
      body: """
        static const ablate_host *host;
        static void *keep(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n,
          ablate_error *e) { (void)m, (void)v, (void)n, (void)e; host = h; return malloc(1); }
        static ablate_status end(void *s, uint32_t lane, const ablate_column *r, uint64_t nc, uint64_t nr,
          ablate_error *e) { (void)s, (void)r, (void)nc, (void)nr, (void)e; \(body) return ABLATE_OK; }
        """)
  }

  func endLane(_ body: String, _ services: HostServices) throws -> PluginError? {
    let shop = try PluginWorkshop()
    try shop.compile(Self.ending(body), to: "end.so", ["-shared", "-fPIC", "-w"])
    let library = try PluginLibrary.open(shop.manifest(library: "end.so"))
    let instance = try PluginInstance(library, parameters: [], model: ModelFacts(), services: services)
    return pluginError { try instance.endLane(2, readings: []) }
  }

  @Test func `by emitting bad columns fails even if it ignores the status`() throws {
    let column = "ablate_column c = {sizeof c, 4, \"label\", \"\\xff\\xfe\", offsets, 0}; "
    let box = RowBox()
    let error = try endLane(
      "int32_t offsets[] = {0, 2}; \(column) host->emit(host->ctx, lane, \"t\", &c, 1, 1);", box.services)
    #expect(error == .failed(plugin: "bad", at: "end_lane", reason: "columns[0].data: row 0 is not UTF-8"))
    let backwards = try endLane(
      "int32_t offsets[] = {4, 2}; \(column) host->emit(host->ctx, lane, \"t\", &c, 1, 1);", box.services)
    #expect(backwards == .failed(plugin: "bad", at: "end_lane", reason: "columns[0].offsets[0]: runs from 4 to 2"))
    let many = try endLane("host->emit(host->ctx, lane, \"t\", NULL, 0, 1000000000);", box.services)
    #expect(many == .failed(plugin: "bad", at: "end_lane", reason: "emit.n_rows: is 1000000000; at most 16777216"))
    #expect(box.tables.isEmpty)
  }

  @Test func `or not can use every function of the host table`() throws {
    let box = RowBox()
    let error = try endLane(
      """
      char *p = host->alloc(host->ctx, 100, 64); if (!p || (uintptr_t)p % 64) return ABLATE_E_MEMORY;
      if (host->alloc(host->ctx, 1, 3) || host->extension(host->ctx, "x/1") || host->cancelled(host->ctx)) return -6;
      host->log(host->ctx, 1, "hello"); host->release(host->ctx, p); host->release(host->ctx, NULL);
      uint32_t w[8], one;
      if (host->random(host->ctx, lane, 3, 1, w, 8) || host->random(host->ctx, lane, 3, 6, &one, 1)) return -6;
      if (w[5] != one || w[0] == w[1]) return -6;
      double f[] = {1.5, 2}; int64_t i[] = {0, 7}; int32_t o[] = {0, 2, 3}; uint8_t ok[] = {1, 0};
      ablate_column c[] = {{sizeof *c, 3, "f", f, 0, ok}, {sizeof *c, 1, "b", i}, {sizeof *c, 4, "s", "abc", o}};
      return host->emit(host->ctx, lane, "t", c, 3, 2);
      """, box.services)
    #expect(error == nil)
    let columns = [
      Column("f", .numbers([1.5, 2]), valid: [true, false]), Column("b", .bools([false, true])),
      Column("s", .strings(["ab", "c"])),
    ]
    #expect(box.tables == [RowBox.Table(lane: 2, name: "t", columns: columns)])
  }

  @Test(arguments: [
    ("uint32_t w; host->random(host->ctx, 9, 0, 0, &w, 1);", "random: lane 9 is not open"),
    ("host->random(host->ctx, lane, 0, 0, NULL, 1);", "random.out: is NULL"),
    ("host->emit(host->ctx, 9, \"t\", NULL, 0, 0);", "emit: lane 9 is not open"),
  ])
  func `that asks the host for what is not there fails, even if it ignores the status`(
    body: String, told: String
  ) throws {
    let host = try HostCase("mha")
    for executor in [Executor.inProcess, .worker] {
      let shop = try PluginWorkshop()
      try shop.compile(Self.ending(body), to: "asks.so", ["-shared", "-fPIC", "-w"])
      let spec = AttachmentSpec.plugin(
        try shop.manifest(library: "asks.so"), parameters: [:], placement: Placement(executor, .asked(by: "the test")))
      #expect(try host.run([spec]).failure?.reason.contains(told) == true)
    }
  }

  @Test func `by releasing what it did not get is told so`() throws {
    let error = try endLane("host->release(host->ctx, s);", .silent)
    #expect(
      error == .failed(plugin: "bad", at: "end_lane", reason: "release() of an address that alloc() did not give"))
  }
}

@Suite struct `the counter-based generator` {
  /// From the file kat_vectors of the authors' Random123 library.
  @Test func `gives the published answers`() {
    let ones = UInt32.max
    #expect(
      Philox.block(counter: SIMD4(0, 0, 0, 0), key: SIMD2(0, 0))
        == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
    #expect(
      Philox.block(counter: SIMD4(ones, ones, ones, ones), key: SIMD2(ones, ones))
        == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
    #expect(
      Philox.block(
        counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), key: SIMD2(0xa409_3822, 0x299f_31d0))
        == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
  }

  @Test func `gives the same words in any order of calls, and others for another lane or seed`() {
    func words(_ key: SIMD2<UInt32>, _ first: UInt64, _ n: Int, stream: UInt64 = 1) -> [UInt32] {
      [UInt32](unsafeUninitializedCapacity: n) { buffer, count in
        Philox.fill(.init(start: buffer.baseAddress, count: n), key: key, stream: stream, first: first)
        count = n
      }
    }
    let key = Philox.key(seed: 7, lane: 9)
    let whole = words(key, 0, 100)
    #expect(words(key, 37, 20) == Array(whole[37..<57]) && Set(whole).count == 100)
    #expect(
      words(Philox.key(seed: 8, lane: 9), 0, 100) != whole && words(Philox.key(seed: 7, lane: 8), 0, 100) != whole)
    #expect(words(key, 0, 100, stream: 2) != whole)
  }
}
