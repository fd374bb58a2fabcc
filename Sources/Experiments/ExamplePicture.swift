import Checkpoints
import Foundation
import Models

/// An example's picture, for a report.
package struct ExamplePicture: Sendable {
  package let width: Int
  package let height: Int
  /// The file's bytes as a `data:` URL; nil where it is too heavy for a page.
  package let dataURL: String?

  /// - Parameter heaviest: in bytes.
  package init?(path: String, heaviest: Int = 600_000) {
    guard let data = FileManager.default.contents(atPath: path), let image = try? RGBImage(contentsOf: path) else {
      return nil
    }
    (width, height) = (image.width, image.height)
    let kind = data.starts(with: [0x89, 0x50]) ? "png" : data.starts(with: Data("RIFF".utf8)) ? "webp" : "jpeg"
    dataURL = data.count <= heaviest ? "data:image/\(kind);base64,\(data.base64EncodedString())" : nil
  }
}

/// Where the patches of a model's vision encoder lie in a picture, from the checkpoint's configuration alone.
package struct PatchBoxes: Sendable {
  private let images: ImageProcessor
  private let configuration: ModelConfiguration

  /// In pixels of the picture.
  package struct Box: Sendable, Equatable {
    package var left, top, right, bottom: Double
  }

  /// A patch of the text tower's grid: its row of the projector, and where it lies.
  package struct Patch: Sendable, Equatable {
    package var projectorRow: Int
    package var box: Box
  }

  /// nil where the checkpoint is not there any more.
  package init?(_ model: ModelReference) {
    guard let folder = try? model.folder(), let configuration = try? ModelConfiguration(folder: folder),
      let images = try? ImageProcessor(folder: folder)
    else { return nil }
    (self.images, self.configuration) = (images, configuration)
  }

  /// The patches that the text tower has of a picture, in the order of its tokens: of LLaVA-NeXT's tiles those of the merged grid, neither
  /// the base's nor padding.
  package func patches(width: Int, height: Int) -> [Patch] {
    let layout = configuration.layout(width: width, height: height)
    let boxes = images.patchBoxes(width: width, height: height, configuration.vision)
    return layout.patches.filter(boxes.indices.contains).map { patch in
      let box = boxes[patch]
      return Patch(
        projectorRow: layout.projectorRow(ofPatch: patch),
        box: Box(
          left: Double(box.left), top: Double(box.top), right: Double(box.right), bottom: Double(box.bottom)))
    }
  }
}
