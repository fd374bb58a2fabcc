import CWebP

/// Decodes a still WebP, lossy or lossless, as Pillow does: libwebp's defaults (fancy upsampling, no dithering), alpha
/// composited onto white. Whether there is alpha is the file's own word, as it is for Pillow.
func decodeWebP(_ bytes: [UInt8], path: String) throws(CheckpointError) -> RGBImage {
  var features = WebPBitstreamFeatures()
  let status = WebPGetFeatures(bytes, bytes.count, &features)
  guard status == VP8_STATUS_OK else { throw corruptWebP(path) }
  if features.has_animation != 0 {
    throw .unsupported(path: path, key: "format", problem: "animated WebP", remedy: "save one frame as a picture")
  }
  let (width, height) = (Int(features.width), Int(features.height))
  try ImageFile.checkSize(width: width, height: height, path: path)
  let hasAlpha = features.has_alpha != 0
  let channels = hasAlpha ? 4 : 3
  let decode = hasAlpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto
  var isDecoded = false
  let samples = [UInt8](unsafeUninitializedCapacity: width * height * channels) { buffer, count in
    buffer.initialize(repeating: 0)
    isDecoded = decode(bytes, bytes.count, buffer.baseAddress, buffer.count, Int32(width * channels)) != nil
    count = buffer.count
  }
  guard isDecoded else { throw corruptWebP(path) }
  return RGBImage(width: width, height: height, pixels: hasAlpha ? onWhite(rgba: samples) : samples)
}

private func corruptWebP(_ path: String) -> CheckpointError {
  .malformed(path: path, problem: "corrupt WebP", remedy: "fetch the file again, or re-encode it if it looks right")
}
