import Datasets
import Foundation
import TestSupport
import Testing

@Suite struct `PASCAL Panoptic Parts` {
  private func source(_ sides: PanopticParts.Sides = .keep, labels: String = fixtures + "/ppp/labels") throws
    -> PanopticParts
  { try PanopticParts(labels: labels, images: fixtures + "/ppp/JPEGImages", sides: sides) }

  @Test func `every part has the pixels that panoptic_parts decodes, countable parts folded`() throws {
    let goldens = try Goldens.load().ppp
    let (pictures, _) = try pictures(of: source())
    #expect(pictures.count == goldens.count)
    for picture in pictures {
      let golden = try #require(goldens.first { $0.key.hasSuffix(picture.name) }?.value)
      var found: [String: Region] = [:]
      var instances: [String: Int] = [:]
      for object in picture.objects {
        let name = object.className ?? ""
        instances[name, default: 0] += 1
        for part in object.parts {
          let key = "\(name) \(instances[name] ?? 0) \(part.label)"
          found[key] = found[key]?.union(part.region) ?? part.region
        }
      }
      // The fixtures number the instances of a class from 1, or give its only one another number.
      let measured = found.mapValues { Goldens.Mask($0, pixels: picture.width * picture.height) }
      #expect(renumbered(measured) == renumbered(golden), "\(picture.name)")
    }
  }

  /// Keys with the instances of each class counted from 1, in their order.
  private func renumbered(_ masks: [String: Goldens.Mask]) -> [String: Goldens.Mask] {
    let keys = masks.keys.map { ($0, $0.split(separator: " ").map(String.init)) }
    let numbers = Dictionary(grouping: keys, by: { $0.1[0] })
      .mapValues { Set($0.compactMap { Int($0.1[1]) }).sorted() }
    return Dictionary(
      uniqueKeysWithValues: keys.map { key, words in
        let number = numbers[words[0]]?.firstIndex(of: Int(words[1]) ?? 0) ?? 0
        return ("\(words[0]) \(number) \(words[2])", masks[key] ?? Goldens.Mask(area: 0, sha256: ""))
      })
  }

  @Test func `a universal id is told apart by its size`() {
    func id(_ uid: Int32) -> [Int?]? { PanopticUID(uid).map { [$0.sid, $0.iid, $0.pid] } }
    #expect(id(0) == [0, nil, nil] && id(23) == [23, nil, nil] && id(99) == [99, nil, nil])
    #expect(id(23_003) == [23, 3, nil] && id(1000) == [1, 0, nil] && id(99_999) == [99, 999, nil])
    #expect(id(2_300_304) == [23, 3, 4] && id(100_101) == [1, 1, 1] && id(9_999_999) == [99, 999, 99])
    #expect(id(2_300_300) == [23, 3, nil])  // part 0 is no part
    #expect(id(-1) == nil && id(10_000_000) == nil)
  }

  @Test func `the names are the 194 parts of 16 classes, and 42 words without their sides`() {
    let classes = PanopticPartsNames.classes
    #expect(classes.count == 20 && classes.filter { !$0.parts.isEmpty }.count == 16)
    let names = classes.map { Set($0.parts) }
    #expect(names.reduce(0) { $0 + $1.count } == 194)
    let raw = names.reduce(Set()) { $0.union($1) }
    #expect(raw.count == 90 && Set(raw.map(PanopticPartsNames.word)).count == 42)
    #expect(classes[0].parts[5] == "engine" && classes[0].parts[14] == "engine" && classes[0].parts[15] == "wheel")
    #expect(classes[6].name == "car" && classes[6].parts[58] == "window" && classes[6].parts.count == 59)
  }

  @Test func `sides are kept or stripped, and objects without parts are counted`() throws {
    let (kept, omissions) = try pictures(of: source())
    let (stripped, _) = try pictures(of: source(.strip))
    let labels = { (pictures: [AnnotatedPicture]) in pictures[0].objects[0].parts.map(\.label) }
    #expect(labels(kept) == ["head", "lear", "rear", "torso", "lfleg", "rfleg", "tail"])
    #expect(labels(stripped) == ["head", "ear", "ear", "torso", "leg", "leg", "tail"])
    #expect(kept[0].objects.map(\.parts.count) == [7, 1, 0])
    #expect(omissions.entries.map(\.reason) == ["regions of a class without instances"])
    #expect(omissions.entries[0].count == 3 && omissions.entries[0].first.hasSuffix("2008_000001.tif"))
  }

  @Test func `labels that are none are refused by file`() throws {
    let folder = try TemporaryFolder()
    try folder.write("II*\0 and no more", to: "x.tif")
    let broken = refusal { _ = try pictures(of: source(labels: folder.path)) }
    #expect(broken?.what == "not a TIFF that can be read" && broken?.place.hasSuffix("/x.tif") == true)
    #expect(broken?.exit == .badData)
    let good = try Data(contentsOf: URL(filePath: fixtures + "/ppp/labels/validation/2008_000003.tif"))
    try folder.write(good.prefix(good.count - 5000), to: "x.tif")
    #expect(refusal { _ = try pictures(of: source(labels: folder.path)) }?.exit == .badData)
    #expect(refusal { _ = try source(labels: "/nowhere") }?.exit == .missingInput)
  }
}
