import CSpng
import Glibc

/// An 8-bit PNG of `samples`, [height, width, channels]: grey for 1 channel, RGB for 3. `samples.count` must be
/// `width * height * channels`.
package func encodePNG(width: Int, height: Int, channels: Int, samples: [UInt8]) throws(CheckpointError) -> [UInt8] {
  precondition([1, 3].contains(channels) && samples.count == width * height * channels, "an image needs its pixels")
  func check(_ status: Int32) throws(CheckpointError) {
    guard status != 0 else { return }
    throw .unwritable(
      path: "PNG", problem: String(cString: spng_strerror(status)), remedy: "free memory, or make the picture smaller")
  }
  guard let context = spng_ctx_new(Int32(SPNG_CTX_ENCODER.rawValue)) else {
    throw .unwritable(path: "PNG", problem: "libspng could not start", remedy: "free memory")
  }
  defer { spng_ctx_free(context) }
  try check(spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1))
  var header = spng_ihdr()
  (header.width, header.height, header.bit_depth) = (UInt32(width), UInt32(height), 8)
  header.color_type = channels == 1 ? PNGRaster.ColourType.grey.rawValue : PNGRaster.ColourType.rgb.rawValue
  try check(spng_set_ihdr(context, &header))
  try check(
    spng_encode_image(
      context, samples, samples.count, Int32(SPNG_FMT_PNG.rawValue), Int32(SPNG_ENCODE_FINALIZE.rawValue)))
  var length = 0
  var status: Int32 = 0
  guard let bytes = spng_get_png_buffer(context, &length, &status) else {
    try check(status == 0 ? 1 : status)
    return []
  }
  defer { free(bytes) }
  return Array(UnsafeRawBufferPointer(start: bytes, count: length))
}
