import Foundation
import PluginABI
import Testing

import PluginRuntime

@Suite struct `the bundled plugins` {
  static let names = [
    "attention-knockout", "attention-mass", "identity", "linear-probe", "logit-lens", "mlp-probe", "nearest-mean",
    "random-edges", "scale", "tuned-lens", "zero-heads",
  ]
  static let folder = "\(PluginWorkshop.root)/Plugins"

  /// Builds what is not built: `make test` has done it, a test run from an editor may not have.
  static let built: Int32 = {
    let make = Process()
    make.executableURL = URL(fileURLWithPath: "/usr/bin/make")
    make.arguments = ["-s", "-C", folder]
    do { try make.run() } catch { return -1 }
    make.waitUntilExit()
    return make.terminationStatus
  }()

  static func manifest(_ name: String) throws -> PluginManifest {
    try #require(built == 0, "make -C Plugins failed")
    return try PluginManifest(path: "\(folder)/\(name)/plugin.json")
  }

  static func instance(
    _ name: String, _ given: [String: GivenValue], services: HostServices = .silent
  ) throws -> PluginInstance {
    let manifest = try manifest(name)
    var model = ModelFacts()
    (model.textLayers, model.visionLayers, model.knownVocabulary) = (3, 2, 100)
    return try PluginInstance(
      PluginLibrary.open(manifest), parameters: manifest.resolve(given), model: model, services: services)
  }

  @Test(arguments: names) func `say in their tables what plugin json says`(name: String) throws {
    let manifest = try Self.manifest(name)
    switch manifest.grade {
    case .sdk: #expect(try PluginLibrary.open(manifest).sha256.count == 64)
    case .plain: #expect(try PluginFunctionProbe.symbols(manifest) == ["scale"])
    case .python: #expect(try PluginDossier(manifest).exports.isEmpty)
    }
    #expect(FileManager.default.fileExists(atPath: manifest.goldenPath))
  }

  @Test func `identity asks for every site of its towers, to read and write`() throws {
    let plan = try Self.instance("identity", [:]).plan(nil)
    #expect(plan.accesses.count == 35 && plan.accesses.allSatisfy { $0.access == [.read, .write] })
    #expect(Set(plan.accesses.map(\.tower)) == ["vision", "projector", "text"])
    #expect(plan.accesses.allSatisfy { $0.layers == .selector("all") })
    let given: [String: GivenValue] = ["tower": .text("text"), "sites": .text("z+q"), "layers": .text("1-2")]
    let some = try Self.instance("identity", given).plan(nil)
    #expect(some.accesses.map(\.site).sorted() == ["q", "z"])
    #expect(some.accesses.allSatisfy { $0.layers == .selector("1-2") })
    let none = pluginError { _ = try Self.instance("identity", ["sites": .text("zz")]) }
    #expect(none?.diagnosis.what == "invalid parameter or manifest: no site of that name in tower all")
  }

  @Test func `attention-knockout turns each CLS policy into edits`() throws {
    let blind = try Self.instance("attention-knockout", ["layers": .text("4-11,-1"), "heads": .text("0+2")]).plan(nil)
    #expect(blind.edits.count == 2 && blind.accesses.isEmpty)
    #expect(blind.edits.allSatisfy { $0.layers == .selector("4-11,-1") })
    #expect(blind.edits.allSatisfy { $0.operation == .edgeDrop && $0.heads == [0, 2] && $0.site == nil })
    #expect(blind.edits.map(\.queries) == ["patches", "cls"].map { .selector($0) })
    #expect(blind.edits.map(\.keys) == Array(repeating: .selector("patches"), count: 2))
    let isolated = try Self.instance("attention-knockout", ["cls": .text("isolated"), "keep_self": .bool(false)]).plan(
      nil)
    #expect(isolated.edits.map(\.keys) == ["patches", "patches", "cls"].map { .selector($0) })
    #expect(isolated.edits.map(\.keepSelf) == [false, true, true])
    let text = try Self.instance(
      "attention-knockout", ["tower": .text("text"), "mode": .text("post_softmax"), "on_empty": .text("zero")]
    ).plan(nil)
    #expect(text.edits.count == 1 && text.edits[0].operation == .edgeZero && text.edits[0].onEmpty == .zero)
    #expect(text.edits[0].queries == .selector("image") && text.edits[0].heads == nil)
    let open = try Self.instance("attention-knockout", ["cls": .text("open")]).plan(nil)
    #expect(open.edits.count == 1)
  }

  private static func picture(_ rows: Int, _ cols: Int) -> ItemFacts {
    var image = ItemFacts.Segment(.image, first: 2, count: rows * cols)
    (image.rows, image.cols) = (rows, cols)
    var item = ItemFacts()
    item.segments = [.init(.prefix, first: 0, count: 2), image, .init(.question, first: 2 + rows * cols, count: 3)]
    return item
  }

  @Test func `attention-knockout cuts what lies outside a window of the patch grid`() throws {
    let window: [String: GivenValue] = ["block": .text("outside_window"), "radius": .integer(1)]
    let instance = try Self.instance("attention-knockout", window)
    #expect(try instance.plan(nil).perItem && instance.plan(nil).edits.isEmpty)
    let edits = try instance.plan(Self.picture(3, 4)).edits
    // Patch (0, 0) is row 1 of the vision tower: it keeps (0..1, 0..1). Patch (1, 1) keeps all but column 3.
    #expect(edits.count == 13 && edits[0].queries == .rows([1]) && edits[0].keys == .rows([3, 4, 7, 8, 9, 10, 11, 12]))
    #expect(edits[5].queries == .rows([6]) && edits[5].keys == .rows([4, 8, 12]))
    #expect(edits.last?.queries == .selector("cls") && edits.last?.keys == .selector("patches"))
    let text = try Self.instance("attention-knockout", window.merging(["tower": .text("text")]) { $1 })
    let inText = try text.plan(Self.picture(3, 4)).edits
    #expect(inText.count == 12 && inText[5].queries == .rows([7]) && inText[5].keys == .rows([5, 9, 13]))
    #expect(try Self.instance("attention-knockout", window).plan(Self.picture(2, 2)).edits.isEmpty)
  }

  @Test func `attention-knockout cuts each part off from what lies outside it`() throws {
    let instance = try Self.instance("attention-knockout", ["block": .text("outside_part"), "cls": .text("isolated")])
    var item = Self.picture(2, 2)
    item.masks = [
      .init(name: "other", rows: [2], coverage: [1]), .init(name: "part/leg", rows: [3, 5], coverage: [1, 1]),
      .init(name: "part/tail", rows: [2], coverage: [1]),
    ]
    let edits = try instance.plan(item).edits
    #expect(edits.map(\.queries).prefix(2) == [.rows([2, 4]), .rows([1])])
    #expect(edits.map(\.keys).prefix(2) == [.rows([1, 3]), .rows([2, 3, 4])])
    #expect(edits.map(\.queries).suffix(2) == [.selector("cls"), .selector("patches")])
    item.masks = []
    #expect(try instance.plan(item).edits.isEmpty)
    item.segments.append(item.segments[1])
    #expect(
      pluginError { _ = try instance.plan(item) }?.diagnosis.what == "unsupported: needs one image of one patch grid")
  }

  @Test(
    arguments: [
      (["block": .text("outside_window")], "needs a radius"), (["radius": .integer(2)], "the others have none"),
      (["block": .text("outside_part"), "keys": .text("cls")], "queries and keys go with block edges"),
    ] as [([String: GivenValue], String)])
  func `attention-knockout refuses parameters that would do nothing`(given: [String: GivenValue], why: String) {
    let error = pluginError { _ = try Self.instance("attention-knockout", given) }
    #expect(error?.diagnosis.what.contains(why) == true)
  }

  @Test func `zero-heads zeroes its view and nothing beside it`() throws {
    let instance = try Self.instance("zero-heads", ["heads": .text("1+3"), "layers": .text("2")])
    let plan = try instance.plan(nil)
    #expect(
      plan.accesses.map(\.site) == ["z"] && plan.accesses[0].heads == [1, 3] && plan.accesses[0].access == .write)
    var values = [Float](repeating: 7, count: 2 * 2 * 3 + 8)
    try EventForge.visit(&values, offset: 4, shape: [2, 2, 3], rows: [5, 6], heads: [1, 3]) {
      try instance.onEvent($0, at: "text.2.z")
    }
    #expect(values == [7, 7, 7, 7] + [Float](repeating: 0, count: 12) + [7, 7, 7, 7])
  }

  @Test func `attention-mass sums to one and tells image, prefix, self and rest apart`() throws {
    let box = RowBox()
    let instance = try Self.instance("attention-mass", ["layers": .text("1")], services: box.services)
    #expect(try instance.plan(nil).accesses.map(\.tokens) == [.selector("last")])
    #expect(try instance.plan(nil).accesses.map(\.layers) == [.selector("1")])
    var item = ItemFacts()
    item.tokens = [1, 2, 3, 4, 5, 6]
    item.segments = [
      .init(.prefix, first: 0, count: 1), .init(.image, first: 1, count: 3), .init(.question, first: 4, count: 2),
    ]
    try instance.beginLane(0, item)
    // Row 5, two heads, keys 0...5 in two blocks of three.
    for block in [0, 1] {
      var pattern: [Float] = block == 0 ? [0.5, 0.125, 0.125, 1, 0, 0] : [0, 0.125, 0.125, 0, 0, 0]
      try EventForge.visit(
        &pattern, shape: [2, 1, 3], rows: [5], heads: [0, 1], keys: 3 * block..<3 * block + 3, layer: 1
      ) { try instance.onEvent($0, at: "text.1.pattern") }
    }
    try instance.endLane(0, readings: [])
    #expect(
      box.tables == [
        RowBox.Table(
          lane: 0, name: "attention_mass",
          columns: [
            Column("layer", .integers([1, 1])), Column("row", .integers([5, 5])), Column("head", .integers([0, 1])),
            Column("site", .strings(["text.pattern", "text.pattern"])), Column("image", .numbers([0.25, 0])),
            Column("prefix", .numbers([0.5, 1])),
            Column("self", .numbers([0.125, 0])), Column("rest", .numbers([0.125, 0])),
          ])
      ])
  }

  @Test func `logit-lens asks at each part's mask and names the answers`() throws {
    let box = RowBox()
    let instance = try Self.instance("logit-lens", ["layers": .text("0-1,-1")], services: box.services)
    let forAll = try instance.plan(nil)
    #expect(forAll.perItem && forAll.readings.isEmpty)
    var item = ItemFacts()
    item.labels = [
      .init(field: "answer", text: "cat", ids: [9]), .init(field: "part/tail", text: "tail", ids: [4]),
      .init(field: "part/leg", text: "leg", ids: [5]),
    ]
    let plan = try instance.plan(item)
    let named = try Self.instance("logit-lens", ["layers": .text("0-1,-1"), "tokens": .text("mask:part")]).plan(item)
    #expect(named == plan)
    let all = try Self.instance("logit-lens", ["tokens": .text("last"), "sites": .text("text.resid_mid")]).plan(item)
    #expect(all.readings.map(\.tokens) == ["last", "last"] && all.readings[0].layers == .selector("all"))
    #expect(plan.readings.map(\.labels) == ["part/tail", "part/tail", "part/leg", "part/leg"])
    #expect(plan.readings.map(\.tokens) == plan.readings.map { "mask:" + $0.labels })
    #expect(plan.readings.map(\.tower) == ["projector", "text", "projector", "text"])
    #expect(plan.readings.allSatisfy { $0.layers == .selector("0-1,-1") })
    #expect(plan.readings.allSatisfy { $0.normed && $0.ties == .mean && $0.vocabulary == 0..<100 })
    #expect(plan.readings.allSatisfy { $0.forms == [.spaced] && $0.pieces == .exclude })
    #expect(plan.readings.allSatisfy { !$0.embedding && !$0.cosine })
    try instance.beginLane(7, item)
    let answers = [
      Column("reading", .integers([0, 3])), Column("layer", .integers([-1, 1])), Column("row", .integers([3, 4])),
      Column("head", .integers([-1, -1])), Column("label", .integers([1, 2])), Column("rank", .numbers([1, 2.5])),
      Column("logit", .numbers([8, 6])), Column("logprob", .numbers([-0.5, -2])),
      Column("mass", .numbers([.nan, .nan])),
    ]
    try instance.endLane(7, readings: answers)
    #expect(box.tables.count == 1 && box.tables[0].name == "logit_lens" && box.tables[0].lane == 7)
    let columns = Dictionary(uniqueKeysWithValues: box.tables[0].columns.map { ($0.name, $0.values) })
    #expect(columns["site"] == .strings(["projector.out", "text.resid_post"]))
    #expect(columns["label"] == .strings(["part/tail", "part/leg"]))
    #expect(columns["layer"] == .integers([-1, 1]) && columns["row"] == .integers([3, 4]))
    #expect(columns["rank"] == .numbers([1, 2.5]) && columns["logprob"] == .numbers([-0.5, -2]))
    #expect(columns.count == 7)
  }

  @Test func `logit-lens hands every setting on`() throws {
    var item = ItemFacts()
    item.labels = [.init(field: "part/tail", text: "tail", ids: [4])]
    let reading = try Self.instance(
      "logit-lens",
      [
        "norm": .text("none"), "vocabulary": .text("3-31"), "forms": .text("bare+plural"), "pieces": .text("mean"),
        "ties": .text("best"), "sites": .text("text.resid_mid"),
      ]
    ).plan(item).readings
    #expect(reading.count == 1 && !reading[0].normed && reading[0].ties == .best && reading[0].vocabulary == 3..<32)
    #expect(reading[0].forms == [.bare, .plural] && reading[0].pieces == .mean && reading[0].site == "resid_mid")
    #expect(try Self.instance("logit-lens", ["vocabulary": .text("all")]).plan(item).readings[0].vocabulary == nil)
    let embedding = ["matrix": GivenValue.text("embedding"), "score": .text("cosine")]
    let looks = try Self.instance("logit-lens", embedding).plan(item).readings
    #expect(looks.allSatisfy { $0.embedding && $0.cosine && !$0.normed })
    let normed = try Self.instance("logit-lens", embedding.merging(["norm": .text("final")]) { $1 }).plan(item).readings
    #expect(normed.allSatisfy { $0.embedding && $0.normed })
    for bad in ["", "3", "3-", "-1-3", "5-4", "a-b"] {
      let error = pluginError { _ = try Self.instance("logit-lens", ["vocabulary": .text(bad)]) }
      #expect(error?.diagnosis.what.contains("vocabulary: write known, all, or") == true, "took '\(bad)'")
    }
  }

  @Test func `tuned-lens captures the last layer too, and says at each capture how it is read`() throws {
    func readings(_ given: [String: GivenValue]) throws -> [ReadingRequest] {
      try Self.instance("tuned-lens", given).plan(nil).readings
    }
    // With all layers it captures what linear-probe does, and shares its features.
    let plain = try readings([:])
    let linear = try Self.instance("linear-probe", [:]).plan(nil).readings
    #expect(plain.map(\.site) == linear.map(\.site) && plain.map(\.layers) == linear.map(\.layers))
    #expect(plain.allSatisfy { $0.normed && $0.vocabulary == 0..<100 && $0.operation == .capture })
    #expect(try readings(["layers": .text("0~3")]).map(\.layers) == [.selector("0~3,-1")])
    let two = try readings([
      "sites": .text("text.resid_pre+text.resid_mid"), "layers": .text("1"), "vocabulary": .text("3-31"),
      "forms": .text("bare+plural"), "pieces": .text("min"), "ties": .text("best"), "words": .integer(3),
    ])
    #expect(two.map(\.site) == ["resid_pre", "resid_mid", "resid_post"])
    #expect(two.map(\.layers) == [.selector("1"), .selector("1"), .selector("-1")])
    #expect(two.allSatisfy { $0.forms == [.bare, .plural] && $0.pieces == .min && $0.ties == .best && $0.top == 3 })
    #expect(two.allSatisfy { $0.vocabulary == 3..<32 })
    for bad in ["3", "5-4", "-1-3", "3-31x"] {
      let error = pluginError { _ = try readings(["vocabulary": .text(bad)]) }
      #expect(error?.diagnosis.what.contains("vocabulary: write known, all, or") == true, "took '\(bad)'")
    }
  }

  @Test func `scale multiplies through libffi after its known answer held in a child`() throws {
    let manifest = try Self.manifest("scale")
    let call = try PlainFunction.open(manifest).bound(to: manifest.resolve(["factor": .text("-0.5")]))
    var values: [Float] = [1, 2, 3, 4]
    try values.withUnsafeMutableBufferPointer { try call($0, at: "text.0.z") }
    #expect(values == [-0.5, -1, -1.5, -2])
  }
}

enum PluginFunctionProbe {
  /// The functions that a library exports.
  static func symbols(_ manifest: PluginManifest) throws -> [String] {
    try SharedObject(path: manifest.libraryPath).image.symbols.filter(\.isExportedFunction).map(\.name)
  }
}

/// Keeps what a plugin emits.
final class RowBox {
  struct Table: Equatable {
    var lane: UInt32
    var name: String
    var columns: [Column]
  }

  var tables: [Table] = []

  var services: HostServices {
    HostServices(
      emit: { [self] in tables.append(Table(lane: $0, name: $1, columns: $2)) },
      randomKey: { Philox.key(seed: 1, lane: UInt64($0)) })
  }
}

/// Makes events as the host will: one slice over a dense view.
enum EventForge {
  static func visit(
    _ values: inout [Float], offset: Int = 0, shape: [Int], rows: [Int32], heads: [Int32], keys: Range<Int> = 0..<0,
    layer: Int = 0, _ body: (UnsafePointer<ablate_event>) throws -> Void
  ) throws {
    let memory = ForeignMemory()
    try values.withUnsafeMutableBytes { raw in
      let dense = TensorValue(shape: shape, values: Array(repeating: 0, count: shape.reduce(1, *)))
      var view = try #require(memory.tensor(dense)).pointee
      view.data = raw.baseAddress
      view.byte_offset = UInt64(4 * offset)
      view.access = 3
      var slice = ablate_slice()
      slice.struct_size = UInt32(MemoryLayout<ablate_slice>.size)
      slice.flags = ABLATE_LAST_BLOCK
      slice.view = UnsafeMutablePointer(mutating: memory.structs([view]))
      (slice.rows, slice.n_rows) = (memory.array(rows), UInt64(rows.count))
      (slice.heads, slice.n_heads) = (memory.array(heads), UInt64(heads.count))
      (slice.key_first, slice.n_keys) = (Int32(keys.lowerBound), Int32(keys.count))
      var event = ablate_event()
      event.struct_size = UInt32(MemoryLayout<ablate_event>.size)
      event.phase = ABLATE_PHASE_PREFILL
      event.layer = Int32(layer)
      (event.slices, event.n_slices) = (memory.structs([slice]), 1)
      try body(&event)
    }
  }
}
