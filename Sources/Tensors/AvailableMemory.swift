import Foundation

/// Bytes that this process can still take: what /proc/meminfo says is available, or what its control group leaves, whichever is less. Pages
/// of files count as free, since the system gives them up.
package func availableMemory() -> Int {
  let system = bytes(of: "MemAvailable:", in: "/proc/meminfo", unit: 1024) ?? .max
  let group = "/sys/fs/cgroup/"
  guard let limit = number(group + "memory.max"), let used = number(group + "memory.current") else { return system }
  let files = bytes(of: "inactive_file", in: group + "memory.stat", unit: 1) ?? 0
  return min(system, max(0, limit - used + files))
}

private func number(_ path: String) -> Int? {
  let text = try? String(contentsOfFile: path, encoding: .utf8)
  return text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
}

/// The number behind `key` in a file of lines "key number".
private func bytes(of key: String, in path: String, unit: Int) -> Int? {
  guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
  for line in text.split(separator: "\n") {
    let words = line.split(separator: " ")
    if words.count > 1, words[0] == key { return Int(words[1]).map { $0 * unit } }
  }
  return nil
}
