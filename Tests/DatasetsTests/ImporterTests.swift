import Checkpoints
import Datasets
import Diagnostics
import Foundation
import TestSupport
import Testing

@Suite struct `An import` {
  private func importPPP(
    to folder: String, _ change: (inout ImportSettings) -> Void = { _ in }
  ) throws -> Importer.Outcome {
    let source = try PanopticParts(
      labels: fixtures + "/ppp/labels", images: fixtures + "/ppp/JPEGImages", sides: .strip)
    var settings = ImportSettings()
    change(&settings)
    var importer = Importer(source: source, settings: settings)
    return try importer.run(to: folder) { _ in }
  }

  private func dataset(_ path: String) throws -> Dataset {
    try Dataset(DatasetReference(path: path, limit: nil, offset: 0))
  }

  @Test func `gives a dataset whose masks are the source's parts`() throws {
    let folder = try TemporaryFolder()
    let outcome = try importPPP(to: folder.file("set"))
    #expect(outcome.pictures == 2 && outcome.examples == 2 && outcome.parts == 9)
    let examples = try dataset(folder.file("set")).examples
    #expect(examples.map(\.id) == ["2008_000001", "2008_000002"])
    #expect(examples.map(\.className) == ["cat", "aeroplane"] && examples.map(\.answer) == ["cat", "aeroplane"])
    #expect(examples[0].parts.map(\.name) == ["head", "ear", "torso", "leg", "tail"])
    #expect(examples[1].parts.map(\.name) == ["body", "wing", "engine", "wheel"])
    let golden = try Goldens.load().ppp["training/2008_000001"] ?? [:]
    let mask = try GrayImage(contentsOf: examples[0].parts[1].maskPath)
    let ears = mask.pixels.filter { Int($0) == examples[0].parts[1].value }.count
    #expect(ears == (golden["cat 1 lear"]?.area ?? 0) + (golden["cat 1 rear"]?.area ?? 0))
    #expect(
      try Data(contentsOf: URL(filePath: examples[0].imagePath))
        == Data(contentsOf: URL(filePath: fixtures + "/ppp/JPEGImages/2008_000001.jpg")))
  }

  @Test func `says what was left out, and twice the same bytes`() throws {
    let folder = try TemporaryFolder()
    _ = try importPPP(to: folder.file("a"))
    _ = try importPPP(to: folder.file("b"))
    let record = try String(contentsOfFile: folder.file("a/import.json"), encoding: .utf8)
    for words in [
      #""smaller objects of a picture", "count": 2"#, #""objects without parts", "count": 2"#,
      #""pictures without parts", "count": 1"#, #""regions of a class without instances", "count": 3"#,
      #""sides": "strip""#,
    ] { #expect(record.contains(words), "\(words)\n\(record)") }
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder.file("a"))
    #expect(try names.sorted() == FileManager.default.subpathsOfDirectory(atPath: folder.file("b")).sorted())
    for name in names {
      #expect(
        FileManager.default.contents(atPath: folder.file("a/\(name)"))
          == FileManager.default.contents(atPath: folder.file("b/\(name)")), "\(name)")
    }
  }

  @Test func `makes an example of all objects, of the largest, or of each`() throws {
    let folder = try TemporaryFolder()
    _ = try importPPP(to: folder.file("all")) { $0.objects = .all }
    _ = try importPPP(to: folder.file("each")) { $0.objects = .each }
    let (all, each) = (try dataset(folder.file("all")).examples, try dataset(folder.file("each")).examples)
    #expect(all[0].parts.map(\.name) == ["head", "ear", "torso", "leg", "tail", "head#2"])
    #expect(each.map(\.id) == ["2008_000001#1", "2008_000001#2", "2008_000002#1", "2008_000002#2"])
    #expect(each.map(\.className) == ["cat", "cat", "aeroplane", "car"])
    #expect(Set(each.map(\.imagePath)).count == 2)
  }

  @Test func `keeps parts of one label apart on demand, and drops the small ones`() throws {
    let folder = try TemporaryFolder()
    _ = try importPPP(to: folder.file("apart")) {
      $0.sameLabel = .separate
      $0.minArea = 40
    }
    let examples = try dataset(folder.file("apart")).examples
    #expect(examples[0].parts.map(\.name) == ["head", "torso", "leg", "leg#2", "tail"])
    #expect(try String(contentsOfFile: folder.file("apart/import.json"), encoding: .utf8).contains("fewer than 40"))
  }

  @Test func `fills the templates`() throws {
    let folder = try TemporaryFolder()
    _ = try importPPP(to: folder.file("set")) {
      $0.prompt = "<image> is this a {class}?"
      $0.answer = "yes, {image}"
    }
    let example = try dataset(folder.file("set")).examples[0]
    #expect(example.prompt == "<image> is this a cat?" && example.answer == "yes, 2008_000001")
  }

  @Test func `leaves nothing behind when it fails, and never touches what is there`() throws {
    let folder = try TemporaryFolder()
    try folder.write("mine", to: "full/file")
    #expect(refusal { _ = try importPPP(to: folder.file("full")) }?.what.contains("not empty") == true)
    #expect(refusal { _ = try importPPP(to: folder.file("set")) { $0.minArea = 1 << 30 } }?.exit == .badData)
    #expect(try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted() == ["full", "full/file"])
  }

  @Test func `counts pictures that are missing or of another size than their labels`() throws {
    let folder = try TemporaryFolder()
    for (name, other) in [("2008_000001", "2008_000001"), ("2008_000002", "2008_000003")] {
      try folder.write(
        Data(contentsOf: URL(filePath: fixtures + "/ppp/JPEGImages/\(other).jpg")), to: "images/\(name).jpg")
    }
    let source = try PanopticParts(labels: fixtures + "/ppp/labels", images: folder.file("images"), sides: .strip)
    var importer = Importer(source: source, settings: ImportSettings())
    let outcome = try importer.run(to: folder.file("set")) { _ in }
    let reasons = outcome.omissions.entries.map(\.reason)
    #expect(outcome.examples == 1)
    #expect(reasons.contains("pictures of another size than their annotations"))
    #expect(reasons.contains("pictures whose image file is not there"))
    let first = outcome.omissions.entries.first { $0.reason.contains("another size") }?.first ?? ""
    #expect(first.hasSuffix("75 x 50, annotated at 61 x 83"))
  }
}

@Suite struct `Masks as they are drawn` {
  private func grey(_ samples: [UInt8], width: Int) throws -> Data {
    Data(try encodePNG(width: width, height: samples.count / width, channels: 1, samples: samples))
  }

  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let image = Data(try encodePNG(width: 3, height: 2, channels: 3, samples: [UInt8](repeating: 9, count: 18)))
    for name in ["one", "two", "cat/three", "none"] { try folder.write(image, to: "images/\(name).png") }
    try folder.write(grey([0, 1, 1, 2, 9, 0], width: 3), to: "masks/one.png")
    try folder.write(grey([0, 1, 1, 0, 0, 0], width: 3), to: "masks/two/leg.png")
    try folder.write(grey([0, 0, 255, 255, 0, 0], width: 3), to: "masks/two/leg.2.png")
    try folder.write(grey([5, 5, 5, 5, 5, 5], width: 2), to: "masks/two/tail.png")
    try folder.write(grey([0, 0, 0, 0, 0, 1], width: 3), to: "masks/cat/three/ear.png")
    try folder.write(grey([0], width: 1), to: "masks/stranger.png")
    try folder.write(#"{"1": "wall", "2": "roof"}"#, to: "labels.json")
    return folder
  }

  @Test func `one picture with named values or one per part give parts, and the rest is counted`() throws {
    let folder = try folder()
    let source = try MaskFolder(
      masks: folder.file("masks"), images: folder.file("images"), labels: folder.file("labels.json"), className: "house"
    )
    let (pictures, omissions) = try pictures(of: source)
    let parts = Dictionary(
      uniqueKeysWithValues: pictures.map { picture in
        (picture.name, picture.objects[0].parts.map { "\($0.label) \($0.region.runs)" })
      })
    #expect(
      parts == [
        "one": ["wall [Range(1..<3)]", "roof [Range(3..<4)]"], "two": ["leg [Range(2..<4)]", "leg [Range(1..<3)]"],
        "cat_three": ["ear [Range(5..<6)]"],
      ])
    #expect(pictures.map { $0.objects[0].className } == ["cat", "house", "house"])
    #expect(
      Set(omissions.entries.map { "\($0.count) \($0.reason)" }) == [
        "1 masks without an image", "1 images without a mask", "1 values of masks that have no label",
        "1 masks of another size than the image's first",
      ])
  }

  @Test func `overlapping parts go to several pictures`() throws {
    let folder = try folder()
    let source = try MaskFolder(
      masks: folder.file("masks"), images: folder.file("images"), labels: folder.file("labels.json"), className: "house"
    )
    var settings = ImportSettings()
    (settings.sameLabel, settings.objects) = (.separate, .all)
    var importer = Importer(source: source, settings: settings)
    _ = try importer.run(to: folder.file("set")) { _ in }
    let dataset = try Dataset(DatasetReference(path: folder.file("set"), limit: nil, offset: 0))
    let legs = try #require(dataset.examples.first { $0.id == "two" }).parts
    #expect(legs.map { ($0.maskPath as NSString).lastPathComponent } == ["two.png", "two~1.png"])
    let pixels = try legs.map { try GrayImage(contentsOf: $0.maskPath).pixels }
    #expect(pixels == [[0, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 0]])
  }

  @Test func `named values need their names, and names must be texts for values`() throws {
    let folder = try folder()
    func source(_ labels: String?) throws -> MaskFolder {
      try MaskFolder(masks: folder.file("masks"), images: folder.file("images"), labels: labels, className: nil)
    }
    #expect(refusal { _ = try pictures(of: source(nil)) }?.remedy.contains("--labels") == true)
    for bad in ["[]", #"{"0": "wall"}"#, #"{"x": "wall"}"#, #"{"1": ""}"#, #"{"1": 2}"#] {
      try folder.write(bad, to: "bad.json")
      #expect(refusal { _ = try source(folder.file("bad.json")) }?.exit == .badData, "\(bad)")
    }
  }
}

@Suite struct RegionTests {
  @Test func `a union has each pixel once`() {
    let a = Region(count: 20) { (2..<8).contains($0) || $0 == 12 }
    let b = Region(count: 20) { (5..<10).contains($0) || (12..<14).contains($0) || $0 == 0 }
    #expect(a.union(b).runs == [0..<1, 2..<10, 12..<14] && a.union(b) == b.union(a))
    #expect(a.union(b).area == 11 && a.union(a) == a && a.union(Region()) == a)
  }
}
