import Models

/// What is asked of a lens at each row of a sweep over the vocabulary.
struct LensQuestion: Equatable {
  var options: LensOptions
  var targets: [Int]
  /// How many of the words that are read first.
  var top: Int
}

/// What lenses have said of rows that no condition of the item changes: once said, it holds in every lane.
final class LensMemo {
  struct Place: Hashable {
    let point: HookPoint
    let row: Row
  }

  private var entries: [(question: LensQuestion, readings: [Place: LensReading])] = []

  func readings(_ question: LensQuestion) -> [Place: LensReading] {
    entries.first { $0.question == question }?.readings ?? [:]
  }

  func take(_ reading: LensReading, at place: Place, _ question: LensQuestion) {
    let found = entries.firstIndex { $0.question == question }
    if found == nil { entries.append((question, [:])) }
    entries[found ?? entries.count - 1].readings[place] = reading
  }
}
