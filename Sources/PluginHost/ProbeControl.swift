import Models
import PluginRuntime

/// A control of a probe: the same question where, or about a word of which, the answer should be no. It is a probe of its own and shares
/// the pass.
package enum ProbeControl: String, Sendable, CaseIterable {
  /// As many patches of the same object as the part has, none of them the part's.
  case randomObject = "random_object"
  /// As many patches that no part touches.
  case randomBackground = "random_background"
  /// The word of another part of the same item.
  case wrongPart = "wrong_part"
  /// A word of the dataset that this item does not have, about as frequent there as the label.
  case randomWord = "random_word"
}

/// A word that the dataset looks for, and how often.
package struct WordCount: Sendable {
  package let label: ItemFacts.Label
  package let count: Int

  package init(label: ItemFacts.Label, count: Int) { (self.label, self.count) = (label, count) }
}

extension Item {
  /// The item as a control sees it. Draws depend on the seed, the item, the control and the part. A part that cannot be matched keeps
  /// neither mask nor label, and `note` says so.
  func under(_ control: ProbeControl?, seed: UInt64) -> Item {
    guard let control else { return self }
    var (masks, labels) = (masks, labels)
    var (unmatched, read): ([String], [String]) = ([], [])
    for (index, label) in self.labels.enumerated() where label.field.hasPrefix("part/") {
      let name = String(label.field.dropFirst(5))
      var draw = Draw(seed: seed, control.rawValue, id, name)
      switch control {
      case .randomObject, .randomBackground:
        let part = (self.masks[label.field] ?? []).filter { inGrid.contains($0.patch) }
        let patches = draw.pick(part.count, of: control == .randomObject ? object(without: part) : outside)
        if let patches { masks[label.field] = patches.sorted().map { (patch: $0, coverage: 0) } }
        if patches == nil { unmatched.append(name) }
      case .wrongPart, .randomWord:
        let word = draw.one(of: control == .wrongPart ? otherParts(than: label) : absentWords(like: label))
        if let word {
          labels[index] = .init(field: label.field, text: word.text, ids: word.ids, forms: word.forms)
          read.append("\(name) as \(word.text)")
        } else {
          unmatched.append(name)
        }
      }
    }
    labels.removeAll { label in unmatched.contains { label.field == "part/\($0)" } }
    for name in unmatched { masks["part/\(name)"] = nil }
    let words = [
      unmatched.isEmpty
        ? nil : "\(unmatched.count) of \(self.labels.count) not matched: \(unmatched.joined(separator: ", "))",
      read.isEmpty ? nil : "read \(read.joined(separator: ", "))",
    ].compactMap(\.self).joined(separator: "; ")
    let note = words.isEmpty ? nil : Note(unmatched.isEmpty ? .fact : .omission, words)
    return replacing(masks: masks, labels: labels, note: note)
  }

  /// The patches of the text tower: of LLaVA-NeXT's tiles not the base's, nor padding.
  private var inGrid: Set<Int> { Set(input.segments.layout.patches) }

  private var parts: Set<Int> {
    Set(masks.filter { $0.key.hasPrefix("part/") }.values.joined().map(\.patch)).intersection(inGrid)
  }

  private func object(without part: [(patch: Int, coverage: Float)]) -> [Int] {
    parts.subtracting(part.map(\.patch)).sorted()
  }

  /// Patches that no part touches; where that is not known, those that are in no mask.
  private var outside: [Int] {
    background ?? inGrid.subtracting(parts).sorted()
  }

  /// Each other word among the parts, once.
  private func otherParts(than label: ItemFacts.Label) -> [ItemFacts.Label] {
    var seen: Set<String> = [label.text]
    return labels.filter { $0.field.hasPrefix("part/") && seen.insert($0.text).inserted }
  }

  /// Words as frequent as the label to within a factor of two, and of as many pieces.
  private func absentWords(like label: ItemFacts.Label) -> [ItemFacts.Label] {
    let own = words.first { $0.label.text == label.text }?.count ?? 0
    let present = Set(labels.filter { $0.field.hasPrefix("part/") }.map(\.text))
    return words.filter { word in
      !present.contains(word.label.text) && word.label.ids.count == label.ids.count && word.count <= 2 * own
        && own <= 2 * word.count
    }.map(\.label)
  }
}
