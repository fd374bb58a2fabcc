import Datasets
import Diagnostics
import Foundation
import PluginHost

/// The images of examples, by number. Examples that show the same picture are one image: no split tears them apart.
package struct ImageNumbers {
  /// By the example's digest, which holds that of the picture.
  private var numbers: [String: Int] = [:]
  package private(set) var count = 0

  package init(_ examples: [Example]) throws {
    var known: [String: Int] = [:]
    var digests: [String: String] = [:]
    for example in examples {
      guard let digest = digests[example.imagePath] ?? ImageNumbers.digest(example.imagePath) else {
        throw ExperimentError.file(path: example.imagePath, what: "the image cannot be read")
      }
      digests[example.imagePath] = digest
      let number = known[digest] ?? known.count
      known[digest] = number
      numbers[example.digest] = number
    }
    count = known.count
  }

  private static func digest(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { data in data.withUnsafeBytes { SHA256.hex($0) } }
  }

  package subscript(example: Example) -> Int { numbers[example.digest] ?? -1 }
}

/// Images to learn from and images that are read by what was learned; no image is in both.
package struct ImageSplit {
  /// `fold 2 of 5`
  package var name: String
  package var train: Set<Int>
  package var test: Set<Int>

  /// Each fold once as the test images. Dealt by the seed, in the same way for every probe.
  package static func folds(_ count: Int, of images: Int, seed: UInt64) -> [ImageSplit] {
    let order = shuffled(images, seed: seed, "folds")
    return (0..<count).map { fold in
      let test = Set(order.indices.filter { $0 % count == fold }.map { order[$0] })
      return ImageSplit(name: "fold \(fold + 1) of \(count)", train: Set(order).subtracting(test), test: test)
    }
  }

  /// The portions of an online code: each is read by a fit on all before it; of the first there is none.
  package static func portions(_ shares: [Double], of images: Int, seed: UInt64) -> [ImageSplit] {
    let order = shuffled(images, seed: seed, "online code")
    var (first, splits) = (0, [ImageSplit]())
    for share in shares {
      let end = min(images, Int((share * Double(images)).rounded(.up)))
      guard end > first else { continue }
      splits.append(
        ImageSplit(
          name: "images \(first + 1)-\(end) of \(images)", train: Set(order[..<first]), test: Set(order[first..<end])))
      first = end
    }
    return splits
  }

  private static func shuffled(_ count: Int, seed: UInt64, _ name: String) -> [Int] {
    var draw = Draw(seed: seed, name)
    return draw.pick(count, of: Array(0..<count)) ?? []
  }
}
