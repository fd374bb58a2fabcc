import Datasets
import Diagnostics
import Foundation

let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures").path

/// `goldens.json`, made by Tools/data/make_fixtures.py.
struct Goldens: Decodable {
  struct Mask: Decodable, Equatable {
    let area: Int
    /// Over one byte (0 or 1) a pixel, row by row.
    let sha256: String
  }

  /// By picture, then by class, instance and raw name of the part.
  let ppp: [String: [String: Mask]]
  /// By the annotation's id.
  let coco: [String: Mask]

  static func load() throws -> Goldens {
    try JSONDecoder().decode(Goldens.self, from: Data(contentsOf: URL(filePath: fixtures + "/goldens.json")))
  }
}

extension Goldens.Mask {
  init(_ region: Region, pixels: Int) {
    var bytes = [UInt8](repeating: 0, count: pixels)
    for run in region.runs { for pixel in run { bytes[pixel] = 1 } }
    self.init(area: region.area, sha256: SHA256.hex(bytes))
  }
}

/// What `body` is refused with, or nil.
func refusal(_ body: () throws -> Void) -> Diagnosis? {
  do { try body() } catch { return (error as? any DiagnosedError)?.diagnosis }
  return nil
}

/// The pictures of a source, and everything that was left out on the way.
func pictures(of source: any ImportSource) throws -> ([AnnotatedPicture], Omissions) {
  var omissions = source.omissions
  return (try (0..<source.count).compactMap { try source.picture($0, omissions: &omissions) }, omissions)
}
