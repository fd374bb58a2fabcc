extension RGBImage {
  /// The picture scaled so that its longer side has `edge` pixels.
  package func fitted(_ edge: Int) -> RGBImage {
    let longer = max(width, height)
    let (w, h) = (max(1, width * edge / longer), max(1, height * edge / longer))
    return resized(self, width: w, height: h, columns: 0..<w, rows: 0..<h, filter: .bicubic)
  }
}
