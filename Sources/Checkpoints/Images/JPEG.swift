import CTurboJPEG

/// Decodes as Pillow does: libjpeg-turbo's defaults (accurate integer DCT, fancy upsampling), grey replicated to RGB.
/// A warning of libjpeg (data that end early or do not decode) is an error: half a picture is not data.
func decodeJPEG(_ bytes: [UInt8], path: String) throws(CheckpointError) -> RGBImage {
  guard let decoder = tjInitDecompress() else {
    throw .malformed(path: path, problem: "libturbojpeg could not start: \(String(cString: tjGetErrorStr2(nil)))")
  }
  defer { tjDestroy(decoder) }
  let size = UInt(bytes.count)
  var width: Int32 = 0
  var height: Int32 = 0
  var subsampling: Int32 = 0
  var colourSpace: Int32 = 0
  guard tjDecompressHeader3(decoder, bytes, size, &width, &height, &subsampling, &colourSpace) == 0 else {
    throw corruptJPEG(decoder, path: path)
  }
  try ImageFile.checkSize(width: Int(width), height: Int(height), path: path)
  if colourSpace == Int32(TJCS_CMYK.rawValue) || colourSpace == Int32(TJCS_YCCK.rawValue) {
    throw .unsupported(
      path: path, key: "colour space", problem: "CMYK JPEG", remedy: "convert it to RGB, with its colour profile")
  }
  var status: Int32 = 0
  let pixels = [UInt8](unsafeUninitializedCapacity: Int(width) * Int(height) * 3) { buffer, count in
    // A scan that says nothing leaves its rows untouched.
    buffer.initialize(repeating: 0)
    status = tjDecompress2(
      decoder, bytes, size, buffer.baseAddress, width, 0, height, Int32(TJPF_RGB.rawValue), TJFLAG_LIMITSCANS)
    count = buffer.count
  }
  guard status == 0 else { throw corruptJPEG(decoder, path: path) }
  return RGBImage(width: Int(width), height: Int(height), pixels: pixels)
}

private func corruptJPEG(_ decoder: tjhandle, path: String) -> CheckpointError {
  // "tjDecompress2(): Premature end of JPEG file" names a function that the reader has never called.
  let text = String(cString: tjGetErrorStr2(decoder)).split(separator: "(): ").last.map(String.init) ?? "unknown error"
  return .malformed(
    path: path, problem: "corrupt JPEG: \(text)", remedy: "fetch the file again, or re-encode it if it looks right")
}
