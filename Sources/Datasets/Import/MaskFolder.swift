import Checkpoints
import Diagnostics
import Foundation

/// Masks drawn with any tool: for an image `NAME.jpg` either `NAME.png`, whose pixel values are named by a table, or a
/// folder `NAME` with one picture per part, `LABEL.png` (`LABEL.2.png` is another part of this label).
///
/// Images may lie in folders that are called after their class, as in the ImageFolder convention.
package struct MaskFolder: ImportSource {
  package let format = "masks"
  package private(set) var omissions = Omissions()
  private let masks: String
  /// Paths below the folder.
  private let images: [String]
  private let imageFolder: String
  private let className: String?
  private let labels: [Int: String]
  private let labelsDigest: String?

  /// - Parameters:
  ///   - labels: a JSON file, `{"1": "wall", "2": "roof"}`; needed for masks of the first kind.
  ///   - className: of images that are not in a class's folder.
  package init(masks: String, images: String, labels path: String?, className: String?) throws {
    (self.masks, imageFolder, self.className) = (masks, images, className)
    let kinds: Set<String> = ["jpg", "jpeg", "png", "webp"]
    self.images = try files(in: images) { kinds.contains(($0 as NSString).pathExtension.lowercased()) }
      .map { String($0.dropFirst(images.count + 1)) }
    (labels, labelsDigest) = try path.map(MaskFolder.readLabels) ?? ([:], nil)
    let stems = Set(self.images.map { ($0 as NSString).deletingPathExtension })
    for mask in try files(in: masks, where: { $0.hasSuffix(".png") }) {
      let stem = (String(mask.dropFirst(masks.count + 1)) as NSString).deletingPathExtension
      guard !stems.contains(stem), !stems.contains((stem as NSString).deletingLastPathComponent) else { continue }
      omissions.count("masks without an image", at: mask)
    }
  }

  private static func readLabels(_ path: String) throws -> ([Int: String], String) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw DatasetError.missing(place: path, what: "there is no such file", remedy: "check the path of the labels")
    }
    guard let table = try? JSONDecoder().decode([String: String].self, from: data) else {
      throw DatasetError.malformed(
        place: path, what: "not a JSON object of texts", remedy: #"for instance {"1": "wall", "2": "roof"}"#)
    }
    let labels = try table.map { key, label in
      guard let value = Int(key), (1...255).contains(value), !label.isEmpty else {
        throw DatasetError.malformed(
          place: "\(path): \(key)", what: "not a pixel value with a name", remedy: "values are 1 to 255")
      }
      return (value, label)
    }
    return (Dictionary(labels, uniquingKeysWith: { first, _ in first }), data.withUnsafeBytes { SHA256.hex($0) })
  }

  package var count: Int { images.count }

  package var facts: [(String, JSON)] {
    [
      ("class", className.map(JSON.string) ?? .null),
      ("labels", .object(labels.sorted { $0.key < $1.key }.map { ("\($0.key)", .string($0.value)) })),
      ("labels_sha256", labelsDigest.map(JSON.string) ?? .null),
    ]
  }

  package func picture(_ index: Int, omissions: inout Omissions) throws -> AnnotatedPicture? {
    let image = images[index]
    let stem = (image as NSString).deletingPathExtension
    let single = "\(masks)/\(stem).png"
    let parts = FileManager.default.fileExists(atPath: single) ? [] : partFiles("\(masks)/\(stem)")
    let paths = parts.isEmpty ? [single] : parts
    guard FileManager.default.fileExists(atPath: paths[0]) else {
      omissions.count("images without a mask", at: "\(imageFolder)/\(image)")
      return nil
    }
    let pictures = try paths.map { try GrayImage(contentsOf: $0) }
    let (width, height) = (pictures[0].width, pictures[0].height)
    var object = AnnotatedPicture.Object(className: name(ofClassOf: image))
    for mask in pictures {
      guard mask.width == width, mask.height == height else {
        omissions.count("masks of another size than the image's first", at: mask.path)
        continue
      }
      object.parts += parts.isEmpty ? try named(mask, &omissions) : [part(mask)]
    }
    return AnnotatedPicture(
      name: stem.replacing("/", with: "_"), imagePath: "\(imageFolder)/\(image)", annotationPaths: paths, width: width,
      height: height, objects: [object])
  }

  private func partFiles(_ folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".png") }.sorted().map { "\(folder)/\($0)" }
  }

  private func name(ofClassOf image: String) -> String? {
    let folder = ((image as NSString).deletingLastPathComponent as NSString).lastPathComponent
    return folder.isEmpty ? className : folder
  }

  /// Every pixel but 0, under the file's name up to its first dot.
  private func part(_ mask: GrayImage) -> AnnotatedPicture.Part {
    let name = (mask.path as NSString).lastPathComponent.prefix { $0 != "." }
    return AnnotatedPicture.Part(
      label: String(name), region: Region(count: mask.pixels.count) { mask.pixels[$0] != 0 })
  }

  /// The parts of a mask whose values the table names.
  private func named(_ mask: GrayImage, _ omissions: inout Omissions) throws -> [AnnotatedPicture.Part] {
    guard labelsDigest != nil else {
      throw DatasetError.missing(
        place: mask.path, what: "no names for the values of this mask",
        remedy: "give a table with --labels, or one mask per part in a folder")
    }
    return Set(mask.pixels).sorted().filter { $0 != 0 }.compactMap { value in
      guard let label = labels[Int(value)] else {
        omissions.count("values of masks that have no label", at: "\(mask.path): \(value)")
        return nil
      }
      return AnnotatedPicture.Part(
        label: label, region: Region(count: mask.pixels.count) { mask.pixels[$0] == value })
    }
  }
}
