import Checkpoints
import Diagnostics
import Foundation

/// What examples are made of pictures.
package struct ImportSettings: Sendable {
  /// Which objects of a picture make an example.
  package enum Objects: String, Sendable, CaseIterable {
    /// One example per picture, with the parts of all its objects; class and answer are those of the largest.
    case all
    /// One example per picture: its largest object.
    case largest
    /// One example per object.
    case each
  }

  /// What becomes of several parts of an object that have one label.
  package enum SameLabel: String, Sendable, CaseIterable {
    case merge
    case separate
  }

  /// `{class}` stands for the object's class, `{image}` for the picture's name.
  package var prompt = "USER: <image>\nWhat is in the image? ASSISTANT:"
  package var answer = "{class}"
  package var objects = Objects.largest
  package var sameLabel = SameLabel.merge
  /// Parts with fewer pixels are left out.
  package var minArea = 1
  /// Pictures from the start; nil: all.
  package var limit: Int?

  package init() {}

  var json: [(String, JSON)] {
    [
      ("prompt", .string(prompt)), ("answer", .string(answer)), ("objects", .string(objects.rawValue)),
      ("same_label", .string(sameLabel.rawValue)), ("min_area", .int(minArea)), ("limit", limit.map(JSON.int) ?? .null),
    ]
  }
}

/// Turns annotated pictures into a dataset folder, with `import.json` about what came in, what was left out and why.
package struct Importer {
  package struct Outcome: Sendable {
    package var pictures = 0
    package var examples = 0
    package var parts = 0
    package var omissions = Omissions()
  }

  let source: any ImportSource
  let settings: ImportSettings
  private var outcome = Outcome()
  /// `sha256  name` of the pictures and their annotations, in order.
  private var imageDigests: [String] = []
  private var annotationDigests: [String] = []
  private var names: Set<String> = []

  package init(source: any ImportSource, settings: ImportSettings) {
    self.source = source
    self.settings = settings
    outcome.omissions = source.omissions
  }

  /// How many pictures will be read.
  package var total: Int { min(source.count, settings.limit ?? source.count) }

  /// Writes `folder`, which must not be there.
  ///
  /// - Parameter progress: called with the name of each picture that is done.
  package mutating func run(to folder: String, progress: (String) -> Void) throws -> Outcome {
    let writer = try DatasetWriter(folder: folder)
    for index in 0..<total {
      let picture = try source.picture(index, omissions: &outcome.omissions)
      if let picture { try add(picture, to: writer) }
      progress(picture?.name ?? "")
    }
    outcome.omissions.count(
      "pictures beyond the limit", source.count - total, at: "after the first \(total)")
    guard outcome.examples > 0 else {
      let why = outcome.omissions.entries.map { "\($0.count) \($0.reason)" }.joined(separator: ", ")
      throw DatasetError.malformed(
        place: folder,
        what: "no example is left: " + (why.isEmpty ? "there are no pictures" : "left out were \(why)"),
        remedy: "check the folders and settings of the import; nothing was written")
    }
    try writer.write(Data(record.pretty.utf8), to: "import.json")
    try writer.finish()
    return outcome
  }

  private var record: JSON {
    func digest(_ lines: [String]) -> JSON {
      .object([("files", .int(lines.count)), ("sha256", .string(SHA256.hex(lines.joined(separator: "\n"))))])
    }
    return .object([
      ("schema", .string("ablate.import/1")), ("format", .string(source.format)),
      ("settings", .object(settings.json + source.facts)), ("images", digest(imageDigests)),
      ("annotations", digest(annotationDigests)), ("pictures", .int(outcome.pictures)),
      ("examples", .int(outcome.examples)), ("parts", .int(outcome.parts)), ("left_out", outcome.omissions.json),
    ])
  }

  private mutating func add(_ picture: AnnotatedPicture, to writer: DatasetWriter) throws {
    guard let image = try usable(picture) else { return }
    let objects = chosen(picture)
    guard !objects.isEmpty else { return }
    let kind = (picture.imagePath as NSString).pathExtension
    let fileName = try writer.write(Data(image), to: "images/\(picture.name)" + (kind.isEmpty ? "" : ".\(kind)"))
    var layers = MaskLayers(width: picture.width, height: picture.height)
    var places: [[(label: String, layer: Int, value: Int)]] = []
    for object in objects {
      places.append(
        object.parts.map { part in
          let (layer, value) = layers.place(part.region)
          return (part.label, layer, value)
        })
    }
    let masks = try layers.layers.enumerated().map { index, layer in
      let mask = try encodePNG(width: picture.width, height: picture.height, channels: 1, samples: layer.pixels)
      return try writer.write(Data(mask), to: "masks/\(picture.name)" + (index == 0 ? "" : "~\(index)") + ".png")
    }
    for (index, object) in objects.enumerated() {
      let id = objects.count == 1 ? picture.name : "\(picture.name)#\(index + 1)"
      let parts = places[index].map { place in
        JSON.object([
          ("label", .string(place.label)), ("mask", .string(masks[place.layer])), ("value", .int(place.value)),
        ])
      }
      try writer.append(row(id, fileName, object, parts, of: picture))
      outcome.parts += parts.count
    }
    outcome.examples += objects.count
    outcome.pictures += 1
    imageDigests.append("\(SHA256.hex(image))  \(picture.name)")
    for path in picture.annotationPaths {
      let bytes = FileManager.default.contents(atPath: path) ?? Data()
      annotationDigests.append("\(bytes.withUnsafeBytes { SHA256.hex($0) })  \((path as NSString).lastPathComponent)")
    }
  }

  private func row(
    _ id: String, _ fileName: String, _ object: AnnotatedPicture.Object, _ parts: [JSON], of picture: AnnotatedPicture
  ) -> JSON {
    let name = object.className ?? ""
    func filled(_ template: String) -> JSON {
      .string(template.replacing("{class}", with: name).replacing("{image}", with: picture.name))
    }
    return .object([
      ("file_name", .string(fileName)), ("id", .string(id)), ("prompt", filled(settings.prompt)),
      ("answer", filled(settings.answer)), ("class", object.className.map(JSON.string) ?? .null),
      ("parts", .array(parts)), ("image", .string(picture.name)),
    ])
  }

  /// The picture's bytes, unless it is not there or not as large as its annotations.
  private mutating func usable(_ picture: AnnotatedPicture) throws -> [UInt8]? {
    guard names.insert(picture.name).inserted else {
      throw DatasetError.malformed(
        place: picture.imagePath, what: "a second picture called '\(picture.name)'",
        remedy: "import its folder by itself")
    }
    guard let data = FileManager.default.contents(atPath: picture.imagePath) else {
      outcome.omissions.count("pictures whose image file is not there", at: picture.imagePath)
      return nil
    }
    let bytes = [UInt8](data)
    let size = try imageSize(of: bytes, path: picture.imagePath)
    guard size == (picture.width, picture.height) else {
      outcome.omissions.count(
        "pictures of another size than their annotations",
        at: "\(picture.imagePath): \(size.width) x \(size.height), annotated at \(picture.width) x \(picture.height)")
      return nil
    }
    return bytes
  }

  /// The objects that make examples, their parts merged and filtered.
  private mutating func chosen(_ picture: AnnotatedPicture) -> [AnnotatedPicture.Object] {
    let place = picture.name
    var objects: [AnnotatedPicture.Object] = []
    for var object in picture.objects {
      if settings.sameLabel == .merge { object.mergeSameLabels() }
      let all = object.parts.count
      object.parts.removeAll { $0.region.area < settings.minArea }
      outcome.omissions.count("parts of fewer than \(settings.minArea) pixels", all - object.parts.count, at: place)
      if !object.parts.isEmpty { objects.append(object) }
    }
    outcome.omissions.count("objects without parts", picture.objects.count - objects.count, at: place)
    guard let largest = objects.max(by: { $0.area < $1.area }) else {
      outcome.omissions.count("pictures without parts", at: place)
      return []
    }
    switch settings.objects {
    case .each: return objects
    case .all: return [AnnotatedPicture.Object(className: largest.className, parts: objects.flatMap(\.parts))]
    case .largest:
      outcome.omissions.count("smaller objects of a picture", objects.count - 1, at: place)
      return [largest]
    }
  }
}

extension AnnotatedPicture.Object {
  /// Parts in the order in which their labels first came.
  fileprivate mutating func mergeSameLabels() {
    var merged: [AnnotatedPicture.Part] = []
    for part in parts {
      if let index = merged.firstIndex(where: { $0.label == part.label }) {
        merged[index].region = merged[index].region.union(part.region)
      } else {
        merged.append(part)
      }
    }
    parts = merged
  }
}
