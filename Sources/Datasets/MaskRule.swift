/// When an image patch belongs to a part.
package enum MaskRule: Sendable, Equatable {
  /// At least this share of the patch's pixels is covered (0 < share <= 1).
  case coverage(Double)
  /// One covered pixel is enough.
  case any
  /// The pixel in the middle of the patch is covered.
  case centre
}
