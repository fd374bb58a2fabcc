/// The candidate nearest to a misspelt word, by edit distance, if it is near enough to be what was meant.
package func nearest(to word: String, in candidates: some Sequence<String>) -> String? {
  let limit = max(2, word.utf8.count / 3)
  return candidates.map { ($0, editDistance(Array(word.utf8), Array($0.utf8))) }
    .filter { $0.1 <= limit }
    .min { ($0.1, $0.0) < ($1.1, $1.0) }?.0
}

/// "did you mean 'x'?" when something near exists, else the list of what is known.
package func suggestion(for word: String, in candidates: some Collection<String>) -> String {
  if let near = nearest(to: word, in: candidates) { return "did you mean '\(near)'?" }
  return "known: " + candidates.sorted().joined(separator: ", ")
}

/// Levenshtein distance in bytes.
func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var row = Array(0...b.count)
  for i in a.indices {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      let substituted = diagonal + (a[i] == b[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[b.count]
}
