import Diagnostics
import Foundation

/// COCO's instance annotations: one JSON file, and a folder of images. Polygons, and run lengths in both spellings.
///
/// The file is mapped and read element by element: what is kept in memory is an index.
package struct COCO: ImportSource {
  package enum Crowds: String, Sendable, CaseIterable {
    case skip
    case keep
  }

  package struct Settings: Sendable {
    /// What becomes of annotations of crowds, whose single objects were not told apart.
    package var crowds = Crowds.skip
    /// In part datasets of this format a category is `bicycle:wheel`: the class and the part, with this between them.
    package var partSeparator: String?

    package init() {}
  }

  package let format = "coco"
  package private(set) var omissions = Omissions()
  private let path: String
  private let images: String
  private let settings: Settings
  private let file: Data
  private let digest: String
  private let pictures: [Picture]
  private let categories: [Int: String]
  /// Where each picture's annotations are, by its id.
  private let annotations: [Int: [Range<Int>]]

  private struct Picture: Decodable {
    var id: Int
    var fileName: String
    var width: Int
    var height: Int
  }

  private struct Category: Decodable {
    var id: Int
    var name: String
  }

  /// - Parameters:
  ///   - path: the JSON file.
  ///   - images: the folder that the file's `file_name`s start from.
  package init(path: String, images: String, settings: Settings) throws {
    guard FileManager.default.fileExists(atPath: path) else {
      throw DatasetError.missing(place: path, what: "there is no such file", remedy: "an instances JSON is expected")
    }
    _ = try files(in: images) { _ in false }
    (self.path, self.images, self.settings) = (path, images, settings)
    do { file = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe) } catch {
      throw DatasetError.malformed(place: path, what: "cannot be read", remedy: "check that it is a file")
    }
    digest = file.withUnsafeBytes { SHA256.hex($0) }
    let index = try Index(file, path: path)
    let reader = ElementReader(file: file, path: path)
    pictures = try index.images.map { try reader.decode(Picture.self, $0, of: "images") }
    let named = try index.categories.map { try reader.decode(Category.self, $0, of: "categories") }
    categories = Dictionary(named.map { ($0.id, $0.name) }, uniquingKeysWith: { first, _ in first })
    annotations = index.annotations
    let known = Set(pictures.map(\.id))
    for id in annotations.keys.sorted() where !known.contains(id) {
      omissions.count("annotations of pictures that are not listed", annotations[id]?.count ?? 0, at: "image_id \(id)")
    }
    for picture in pictures where !COCO.isInside(picture.fileName) || picture.width < 1 || picture.height < 1 {
      throw DatasetError.malformed(
        place: "\(path): image \(picture.id)",
        what: "'\(picture.fileName)', \(picture.width) x \(picture.height) pixels",
        remedy: "a file_name lies inside of the images' folder, sizes are above 0")
    }
  }

  /// A path that does not leave the folder it starts from.
  private static func isInside(_ path: String) -> Bool {
    !path.isEmpty && !path.hasPrefix("/") && !path.split(separator: "/").contains("..")
  }

  package var count: Int { pictures.count }

  package var facts: [(String, JSON)] {
    [
      ("crowds", .string(settings.crowds.rawValue)),
      ("part_separator", settings.partSeparator.map(JSON.string) ?? .null),
      ("file", .string((path as NSString).lastPathComponent)), ("file_sha256", .string(digest)),
    ]
  }

  package func picture(_ index: Int, omissions: inout Omissions) throws -> AnnotatedPicture? {
    let picture = pictures[index]
    let reader = ElementReader(file: file, path: path)
    var objects: [AnnotatedPicture.Object] = []
    for range in annotations[picture.id] ?? [] {
      let annotation = try reader.decode(COCOAnnotation.self, range, of: "annotations")
      let place = "\(path): annotation \(annotation.id)"
      if annotation.iscrowd == 1, settings.crowds == .skip {
        omissions.count("annotations of crowds", at: place)
        continue
      }
      guard let name = categories[annotation.categoryId] else {
        throw DatasetError.malformed(
          place: place, what: "there is no category \(annotation.categoryId)", remedy: "check the file's categories")
      }
      guard
        let region = try annotation.region(width: picture.width, height: picture.height, place: place, &omissions)
      else { continue }
      add(region, category: name, to: &objects, at: place, &omissions)
    }
    return AnnotatedPicture(
      name: (picture.fileName as NSString).deletingPathExtension.replacing("/", with: "_"),
      imagePath: "\(images)/\(picture.fileName)", width: picture.width, height: picture.height, objects: objects)
  }

  /// An annotation is an object and its only part; with a separator it is a part of the one object of its class.
  private func add(
    _ region: Region, category: String, to objects: inout [AnnotatedPicture.Object], at place: String,
    _ omissions: inout Omissions
  ) {
    guard let separator = settings.partSeparator else {
      let part = AnnotatedPicture.Part(label: category, region: region)
      objects.append(AnnotatedPicture.Object(className: category, parts: [part]))
      return
    }
    guard let cut = category.range(of: separator), cut.lowerBound > category.startIndex,
      cut.upperBound < category.endIndex
    else { return omissions.count("annotations of whole objects, whose category has no '\(separator)'", at: place) }
    let name = String(category[..<cut.lowerBound])
    let part = AnnotatedPicture.Part(label: String(category[cut.upperBound...]), region: region)
    if let index = objects.firstIndex(where: { $0.className == name }) {
      objects[index].parts.append(part)
    } else {
      objects.append(AnnotatedPicture.Object(className: name, parts: [part]))
    }
  }
}

/// Where the elements of an annotation file are.
private struct Index {
  var images: [Range<Int>] = []
  var categories: [Range<Int>] = []
  /// By image_id.
  var annotations: [Int: [Range<Int>]] = [:]

  init(_ file: Data, path: String) throws {
    var found: Set<String> = []
    do {
      try file.withUnsafeBytes { bytes in
        var top = JSONSlices(bytes)
        try top.members { key, value in
          guard ["images", "categories", "annotations"].contains(key) else { return }
          found.insert(key)
          var list = JSONSlices(bytes, in: value)
          try list.elements { element in
            switch key {
            case "images": images.append(element)
            case "categories": categories.append(element)
            default: annotations[try imageId(element, bytes), default: []].append(element)
            }
          }
        }
      }
    } catch let error as JSONSlices.Malformed {
      throw DatasetError.malformed(
        place: "\(path): byte \(error.offset)", what: error.what, remedy: "an instances JSON of COCO is expected")
    }
    for key in ["images", "annotations", "categories"] where !found.contains(key) {
      throw DatasetError.malformed(
        place: path, what: "the key '\(key)' is missing", remedy: "an instances JSON of COCO is expected")
    }
  }

  private func imageId(_ element: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws -> Int {
    var id: Int?
    var object = JSONSlices(bytes, in: element)
    try object.members { key, value in
      if key == "image_id" { id = Int(String(decoding: bytes[value], as: UTF8.self)) }
    }
    guard let id else {
      throw JSONSlices.Malformed(offset: element.lowerBound, what: "an annotation without a whole image_id")
    }
    return id
  }
}

private struct ElementReader {
  let file: Data
  let path: String

  func decode<T: Decodable>(_ type: T.Type, _ range: Range<Int>, of list: String) throws -> T {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do { return try decoder.decode(type, from: file.subdata(in: range)) } catch {
      throw DatasetError.malformed(
        place: "\(path): \(list), byte \(range.lowerBound)", what: "not what COCO's format has there: \(reason(error))",
        remedy: "https://cocodataset.org/#format-data")
    }
  }

  private func reason(_ error: any Error) -> String {
    switch error {
    case DecodingError.keyNotFound(let key, _): "the key '\(key.stringValue)' is missing"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      "'\(context.codingPath.map(\.stringValue).joined(separator: "."))' has another type"
    case DecodingError.dataCorrupted(let context): context.debugDescription
    default: "\(error)"
    }
  }
}
