import CTurboJPEG
import CWebP

/// Width and height of a JPEG, PNG or WebP by its header; nothing is decoded. `path` is for messages.
package func imageSize(of bytes: [UInt8], path: String) throws(CheckpointError) -> (width: Int, height: Int) {
  switch ImageFile.format(of: bytes) {
  case .jpeg: return try jpegSize(bytes, path: path)
  case .png:
    // The header chunk is the first: signature, its length, its name, then both sizes in big-endian order.
    guard bytes.count >= 24 else { throw .malformed(path: path, problem: "corrupt PNG: it ends in its header") }
    func number(at first: Int) -> Int { bytes[first..<first + 4].reduce(0) { $0 << 8 | Int($1) } }
    return (number(at: 16), number(at: 20))
  case .webp:
    var (width, height): (Int32, Int32) = (0, 0)
    guard WebPGetInfo(bytes, bytes.count, &width, &height) != 0 else {
      throw .malformed(path: path, problem: "corrupt WebP")
    }
    return (Int(width), Int(height))
  case .other, .unknown: throw ImageFile.refusal(of: bytes, path: path)
  }
}

private func jpegSize(_ bytes: [UInt8], path: String) throws(CheckpointError) -> (width: Int, height: Int) {
  guard let decoder = tjInitDecompress() else {
    throw .malformed(path: path, problem: "libturbojpeg could not start: \(String(cString: tjGetErrorStr2(nil)))")
  }
  defer { tjDestroy(decoder) }
  var (width, height, subsampling, colourSpace): (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)
  guard tjDecompressHeader3(decoder, bytes, UInt(bytes.count), &width, &height, &subsampling, &colourSpace) == 0 else {
    throw .malformed(path: path, problem: "corrupt JPEG: \(String(cString: tjGetErrorStr2(decoder)))")
  }
  return (Int(width), Int(height))
}
