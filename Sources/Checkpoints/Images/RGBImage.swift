import Foundation

/// A picture in 8-bit RGB as Pillow 13 decodes it and transformers 5.23's `convert_to_rgb` converts it: no colour
/// management, no EXIF orientation, transparency composited onto white.
package struct RGBImage: Sendable, Equatable {
  package let width: Int
  package let height: Int
  /// [height, width, 3]
  package let pixels: [UInt8]

  /// Rows of RGB triples that are in memory already. `pixels.count` must be `width * height * 3`.
  package init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(width > 0 && height > 0 && pixels.count == width * height * 3, "an image needs its pixels")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// Decodes a JPEG, PNG or WebP file.
  package init(contentsOf path: String) throws(CheckpointError) {
    try self.init(bytes: ImageFile.read(path), path: path)
  }

  /// Decodes a JPEG, PNG or WebP, told apart by its first bytes. `path` is for messages.
  package init(bytes: [UInt8], path: String) throws(CheckpointError) {
    switch ImageFile.format(of: bytes) {
    case .jpeg: self = try decodeJPEG(bytes, path: path)
    case .png: self = try PNGRaster(bytes: bytes, path: path).rgb(path: path)
    case .webp: self = try decodeWebP(bytes, path: path)
    case .other, .unknown: throw ImageFile.refusal(of: bytes, path: path)
    }
  }
}

/// What the decoders share: reading, telling formats apart, the limit on size.
enum ImageFile {
  enum Format: Equatable {
    case jpeg
    case png
    case webp
    case other(String)
    case unknown
  }

  /// Pillow's limit: above it `Image.open` raises DecompressionBombError (2 x MAX_IMAGE_PIXELS).
  static let maxPixels = 178_956_970

  static func read(_ path: String) throws(CheckpointError) -> [UInt8] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw .missing(path: path, remedy: "check the path of the image")
    }
    guard !isFolder.boolValue, let data = FileManager.default.contents(atPath: path) else {
      throw .malformed(path: path, problem: "cannot be read", remedy: "name a readable file")
    }
    return [UInt8](data)
  }

  static func format(of bytes: [UInt8]) -> Format {
    if bytes.starts(with: [0xFF, 0xD8, 0xFF]) { return .jpeg }
    if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) { return .png }
    if bytes.starts(with: "RIFF".utf8), bytes.dropFirst(8).starts(with: "WEBP".utf8) { return .webp }
    if bytes.starts(with: "GIF8".utf8) { return .other("GIF images") }
    if bytes.starts(with: "BM".utf8) { return .other("BMP images") }
    if bytes.starts(with: [0x49, 0x49, 0x2A, 0]) || bytes.starts(with: [0x4D, 0x4D, 0, 0x2A]) {
      return .other("TIFF images")
    }
    return .unknown
  }

  /// Why bytes of another format are not read.
  static func refusal(of bytes: [UInt8], path: String) -> CheckpointError {
    if case .other(let name) = format(of: bytes) {
      return .unsupported(path: path, key: "format", problem: name, remedy: "convert it to PNG or JPEG")
    }
    return .malformed(path: path, problem: "not a JPEG, PNG or WebP image", remedy: "check that the file is a picture")
  }

  static func checkSize(width: Int, height: Int, path: String) throws(CheckpointError) {
    guard width > 0, height > 0 else {
      throw .malformed(path: path, problem: "the image is \(width) x \(height) pixels", remedy: "fetch the file again")
    }
    guard width <= maxPixels / height else {
      throw .malformed(
        path: path, problem: "\(width) x \(height) pixels are more than the \(maxPixels) that are read",
        remedy: "make the image smaller; such headers are also how decompression bombs look")
    }
  }
}
