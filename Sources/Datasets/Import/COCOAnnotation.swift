/// One element of `annotations`, as COCO's format has it (keys in snake case there).
struct COCOAnnotation: Decodable {
  var id: Int
  var categoryId: Int
  var iscrowd: Int?
  var segmentation: Segmentation?

  enum Segmentation: Decodable {
    /// x and y of the corners, polygon by polygon; an object in several pieces has several.
    case polygons([[Double]])
    /// [height, width]
    case counts([Int], size: [Int])
    case compressed(String, size: [Int])

    private enum Key: CodingKey {
      case counts, size
    }

    init(from decoder: any Decoder) throws {
      guard let object = try? decoder.container(keyedBy: Key.self) else {
        self = .polygons(try decoder.singleValueContainer().decode([[Double]].self))
        return
      }
      let size = try object.decode([Int].self, forKey: .size)
      if let text = try? object.decode(String.self, forKey: .counts) {
        self = .compressed(text, size: size)
      } else {
        self = .counts(try object.decode([Int].self, forKey: .counts), size: size)
      }
    }
  }

  /// The pixels of a picture of this size, or nil where there is nothing to draw, which is counted.
  func region(width: Int, height: Int, place: String, _ omissions: inout Omissions) throws -> Region? {
    switch segmentation {
    case nil:
      omissions.count("annotations without a segmentation", at: place)
      return nil
    case .polygons(let polygons): return try region(polygons, width, height, place, &omissions)
    case .counts(let counts, let size):
      return try region(
        size, width, height, place, &omissions, RunLength(width: width, height: height, counts: counts))
    case .compressed(let text, let size):
      return try region(
        size, width, height, place, &omissions, RunLength(width: width, height: height, compressed: text))
    }
  }

  /// The union of the polygons.
  private func region(
    _ polygons: [[Double]], _ width: Int, _ height: Int, _ place: String, _ omissions: inout Omissions
  ) throws -> Region? {
    let limit = RunLength.maxCoordinate
    guard polygons.allSatisfy({ $0.count % 2 == 0 && $0.allSatisfy { (-limit...limit).contains($0) } }) else {
      throw DatasetError.malformed(
        place: place, what: "a polygon with half a corner, or one that lies beyond \(Int(limit)) pixels",
        remedy: "a polygon is x and y of each corner, in pixels")
    }
    let drawn = polygons.filter { $0.count >= 6 }
    omissions.count("polygons of fewer than three corners", polygons.count - drawn.count, at: place)
    guard let first = drawn.first else { return nil }
    return drawn.dropFirst().reduce(RunLength(polygon: first, width: width, height: height).region) {
      $0.union(RunLength(polygon: $1, width: width, height: height).region)
    }
  }

  private func region(
    _ size: [Int], _ width: Int, _ height: Int, _ place: String, _ omissions: inout Omissions, _ runs: RunLength?
  ) throws -> Region? {
    guard size == [height, width] else {
      omissions.count("annotations of another size than their picture's", at: place)
      return nil
    }
    guard let runs else {
      throw DatasetError.malformed(
        place: place, what: "run lengths that do not add up to \(width) x \(height) pixels",
        remedy: "the file is damaged, or not COCO's run-length encoding")
    }
    return runs.region
  }
}
