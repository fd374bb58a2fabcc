import Datasets
import Foundation
import TestSupport
import Testing

@Suite struct `COCO instances` {
  private func settings(_ crowds: COCO.Crowds = .keep, separator: String? = nil) -> COCO.Settings {
    var settings = COCO.Settings()
    (settings.crowds, settings.partSeparator) = (crowds, separator)
    return settings
  }

  private func source(_ settings: COCO.Settings) throws -> COCO {
    try COCO(path: fixtures + "/coco/instances.json", images: fixtures + "/coco/images", settings: settings)
  }

  /// A source of one 4 x 3 picture with this annotation.
  private func one(_ annotation: String, folder: TemporaryFolder) throws -> COCO {
    let file = """
      {"images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 3}], "categories": [{"id": 1, "name": "cat"}],
       "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "iscrowd": 0, \(annotation)}]}
      """
    try folder.write(file, to: "instances.json")
    return try COCO(path: folder.file("instances.json"), images: folder.path, settings: settings())
  }

  @Test func `polygons and run lengths have the pixels that pycocotools gives them`() throws {
    struct File: Decodable {
      struct Annotation: Decodable {
        var id: Int
        var imageId: Int
      }
      var annotations: [Annotation]
    }
    let goldens = try Goldens.load().coco
    let (pictures, _) = try pictures(of: source(settings()))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let file = try decoder.decode(
      File.self, from: Data(contentsOf: URL(filePath: fixtures + "/coco/instances.json")))
    #expect(pictures.count == 3 && goldens.count == 63)
    for (index, picture) in pictures.enumerated() {
      let ids = file.annotations.filter { $0.imageId == 100 + index }.map(\.id)
      #expect(ids.count == picture.objects.count)
      for (id, object) in zip(ids, picture.objects) {
        let mask = Goldens.Mask(object.parts[0].region, pixels: picture.width * picture.height)
        #expect(mask == goldens["\(id)"], "annotation \(id)")
      }
    }
  }

  @Test func `crowds and pictures that are not listed are counted`() throws {
    let (pictures, omissions) = try pictures(of: source(settings(.skip)))
    #expect(pictures.map(\.objects.count) == [16, 16, 16])
    #expect(
      omissions.entries.map { "\($0.count) \($0.reason)" } == [
        "1 annotations of pictures that are not listed", "15 annotations of crowds",
      ])
  }

  @Test func `with a separator categories are parts of a class`() throws {
    let (pictures, omissions) = try pictures(of: source(settings(separator: ":")))
    for picture in pictures {
      #expect(Set(picture.objects.compactMap(\.className)) == ["bicycle", "dog"])
      #expect(picture.objects.allSatisfy { Set($0.parts.map(\.label)).count == 1 })
    }
    #expect(omissions.entries.contains { $0.reason.hasPrefix("annotations of whole objects") && $0.count == 21 })
  }

  @Test func `a square of whole pixels is those pixels`() throws {
    let region = RunLength(polygon: [1, 0, 3, 0, 3, 2, 1, 2], width: 4, height: 3).region
    #expect(region.runs == [1..<3, 5..<7])
  }

  @Test(arguments: [
    (#""segmentation": [[1, 1, 2, 2, 3]]"#, "a polygon with half a corner"),
    (#""segmentation": [[1, 1, 2, 1e300, 3, 3]]"#, "a polygon with half a corner"),
    (#""segmentation": {"size": [3, 4], "counts": [5, 6]}"#, "run lengths that do not add up to 4 x 3 pixels"),
    (#""segmentation": {"size": [3, 4], "counts": [5, -6, 13]}"#, "run lengths that do not add up"),
    (#""segmentation": {"size": [3, 4], "counts": "~~"}"#, "run lengths that do not add up"),
    (#""segmentation": {"size": [3, 4]}"#, "the key 'counts' is missing"),
    (#""segmentation": 7"#, "'segmentation' has another type"), (#""x": [1, 2"#, "is expected"),
  ])
  func `bad annotations are refused`(annotation: String, words: String) throws {
    let folder = try TemporaryFolder()
    let diagnosis = try #require(refusal { _ = try pictures(of: one(annotation, folder: folder)) })
    #expect(diagnosis.what.contains(words), "\(diagnosis.what)")
    #expect(diagnosis.exit == .badData && diagnosis.place.hasPrefix(folder.file("instances.json")))
  }

  @Test(arguments: [
    (#""x": 1"#, "annotations without a segmentation"),
    (#""segmentation": [[1, 1, 2, 2]]"#, "polygons of fewer than three corners"),
    (#""segmentation": {"size": [4, 3], "counts": [12]}"#, "annotations of another size than their picture's"),
  ])
  func `annotations with nothing to draw are counted`(annotation: String, reason: String) throws {
    let (pictures, omissions) = try pictures(of: one(annotation, folder: TemporaryFolder()))
    #expect(pictures[0].objects.isEmpty && omissions.entries.map(\.reason) == [reason])
  }

  @Test func `a file that is cut short anywhere is refused and never traps`() throws {
    let whole = try Data(contentsOf: URL(filePath: fixtures + "/coco/instances.json"))
    let folder = try TemporaryFolder()
    for length in stride(from: 0, to: whole.count - 3, by: 1517) {
      try folder.write(whole.prefix(length), to: "cut.json")
      let diagnosis = refusal {
        _ = try COCO(path: folder.file("cut.json"), images: folder.path, settings: settings())
      }
      #expect(diagnosis?.exit == .badData, "\(length)")
    }
  }

  @Test func `a file name that leaves the folder of images is refused`() throws {
    let folder = try TemporaryFolder()
    let file = #"""
      {"images": [{"id": 1, "file_name": "../a.jpg", "width": 4, "height": 3}], "categories": [], "annotations": []}
      """#
    try folder.write(file, to: "x.json")
    let diagnosis = refusal { _ = try COCO(path: folder.file("x.json"), images: folder.path, settings: settings()) }
    #expect(diagnosis?.place.hasSuffix("x.json: image 1") == true)
  }
}
