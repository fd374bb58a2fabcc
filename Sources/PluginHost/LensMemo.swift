import Models

/// What lenses have said of rows that no condition of the item changes: once said, it holds in every lane.
final class LensMemo {
  struct Place: Hashable {
    let point: HookPoint
    let row: Row
  }

  private var entries: [(options: LensOptions, targets: [Int], answers: [Place: [LensAnswer]])] = []

  private func index(_ options: LensOptions, _ targets: [Int]) -> Int? {
    entries.firstIndex { $0.options == options && $0.targets == targets }
  }

  func answers(_ options: LensOptions, _ targets: [Int]) -> [Place: [LensAnswer]] {
    index(options, targets).map { entries[$0].answers } ?? [:]
  }

  func take(_ answer: [LensAnswer], at place: Place, _ options: LensOptions, _ targets: [Int]) {
    let found = index(options, targets)
    if found == nil { entries.append((options, targets, [:])) }
    entries[found ?? entries.count - 1].answers[place] = answer
  }
}
