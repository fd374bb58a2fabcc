import Diagnostics
import Foundation

/// PASCAL Panoptic Parts: a folder of label TIFFs, and PASCAL VOC 2010's JPEG images under the same names.
package struct PanopticParts: ImportSource {
  /// What becomes of left, right, front, back, upper and lower in the names of parts.
  package enum Sides: String, Sendable, CaseIterable {
    /// `leg`
    case strip
    /// `lfuleg`, as the dataset spells it
    case keep
  }

  package let format = "ppp"
  private let labels: [String]
  private let images: String
  private let sides: Sides

  /// - Parameters:
  ///   - labels: searched for `.tif` at any depth.
  ///   - images: `NAME.jpg` for each `NAME.tif`.
  package init(labels folder: String, images: String, sides: Sides) throws {
    labels = try files(in: folder) { $0.hasSuffix(".tif") || $0.hasSuffix(".tiff") }
    _ = try files(in: images) { _ in false }
    self.images = images
    self.sides = sides
  }

  package var count: Int { labels.count }
  package var omissions: Omissions { Omissions() }
  package var facts: [(String, JSON)] { [("sides", .string(sides.rawValue))] }

  package func picture(_ index: Int, omissions: inout Omissions) throws -> AnnotatedPicture? {
    let path = labels[index]
    let name = ((path as NSString).lastPathComponent as NSString).deletingPathExtension
    let labels = try TIFFLabels(contentsOf: path)
    return AnnotatedPicture(
      name: name, imagePath: "\(images)/\(name).jpg", annotationPaths: [path], width: labels.width,
      height: labels.height, objects: try objects(labels, path: path, omissions: &omissions))
  }

  private struct Instance: Hashable {
    var sid: Int
    var iid: Int
  }

  /// Instances by class and number, their parts by part id: the ten ids of an engine are ten parts of one label.
  private func objects(
    _ labels: TIFFLabels, path: String, omissions: inout Omissions
  ) throws -> [AnnotatedPicture.Object] {
    var parts: [Instance: [Int: Region]] = [:]
    var stuff: Set<Int> = []
    for (uid, region) in regions(labels.labels).sorted(by: { $0.key < $1.key }) {
      guard let id = PanopticUID(uid) else {
        throw DatasetError.malformed(
          place: path, what: "the label \(uid) is no universal id", remedy: "labels are numbers from 0 to 9999999")
      }
      guard let iid = id.iid else {
        if id.sid > 0 { stuff.insert(id.sid) }
        continue
      }
      let instance = Instance(sid: id.sid, iid: iid)
      if parts[instance] == nil { parts[instance] = [:] }
      if let pid = id.pid { parts[instance]?[pid] = region }
    }
    omissions.count("regions of a class without instances", stuff.count, at: path)
    return try parts.keys.sorted { ($0.sid, $0.iid) < ($1.sid, $1.iid) }.map { instance in
      guard PanopticPartsNames.classes.indices.contains(instance.sid - 1) else {
        throw DatasetError.malformed(
          place: path, what: "an instance of class \(instance.sid)", remedy: "classes 1 to 20 have instances")
      }
      let known = PanopticPartsNames.classes[instance.sid - 1]
      var object = AnnotatedPicture.Object(className: known.name)
      for (pid, region) in (parts[instance] ?? [:]).sorted(by: { $0.key < $1.key }) {
        guard known.parts.indices.contains(pid - 1) else {
          throw DatasetError.malformed(
            place: path, what: "part \(pid) of \(known.name)", remedy: "it has parts 1 to \(known.parts.count)")
        }
        let name = known.parts[pid - 1]
        object.parts.append(
          AnnotatedPicture.Part(label: sides == .strip ? PanopticPartsNames.word(for: name) : name, region: region))
      }
      return object
    }
  }

  /// The region of each label.
  private func regions(_ labels: [Int32]) -> [Int32: Region] {
    var regions: [Int32: Region] = [:]
    var start = 0
    for end in 1...labels.count where end == labels.count || labels[end] != labels[start] {
      regions[labels[start], default: Region()].append(start..<end)
      start = end
    }
    return regions
  }
}

/// Paths of the files at any depth of a folder whose name is wanted, sorted by name; a folder that is not there is an error.
func files(in folder: String, where isWanted: (String) -> Bool) throws -> [String] {
  guard let paths = FileManager.default.subpaths(atPath: folder) else {
    throw DatasetError.missing(place: folder, what: "there is no such folder", remedy: "check the path")
  }
  return paths.filter(isWanted).sorted().map { "\(folder)/\($0)" }
}
