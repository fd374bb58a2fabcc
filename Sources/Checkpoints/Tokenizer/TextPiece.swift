/// A stretch of the text on its way to the model.
struct TextPiece: Sendable {
  var bytes: ArraySlice<UInt8>
  /// It starts where the text starts: Metaspace with prepend_scheme "first" asks.
  var isFirst: Bool

  init(_ bytes: some Sequence<UInt8>, isFirst: Bool) {
    self.bytes = ArraySlice(bytes)
    self.isFirst = isFirst
  }

  func slice(_ range: Range<Int>) -> TextPiece {
    TextPiece(bytes[range], isFirst: isFirst && range.lowerBound == bytes.startIndex)
  }

  /// The piece cut at the matches of a pattern; empty pieces are left out.
  func split(_ spans: [PatternSpan], _ behavior: SplitBehavior) -> [TextPiece] {
    var ranges: [Range<Int>] = []
    var previousMatch = false
    let ordered = behavior == .mergedWithNext ? spans.reversed() : spans
    for (range, isMatch) in ordered {
      let joins: Bool
      switch behavior {
      case .isolated: joins = false
      case .removed:
        if isMatch { continue }
        joins = false
      case .contiguous: joins = isMatch == previousMatch
      case .mergedWithPrevious, .mergedWithNext: joins = isMatch && !previousMatch
      }
      previousMatch = isMatch
      if joins, let last = ranges.popLast() {
        ranges.append(min(last.lowerBound, range.lowerBound)..<max(last.upperBound, range.upperBound))
      } else {
        ranges.append(range)
      }
    }
    if behavior == .mergedWithNext { ranges.reverse() }
    return ranges.filter { !$0.isEmpty }.map(slice)
  }
}

/// What becomes of the matches of a split.
enum SplitBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"
}
