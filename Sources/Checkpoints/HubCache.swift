import Foundation

/// A repository on the Hugging Face Hub, spelled `org/name` or `org/name@revision`.
package struct HubName: Sendable, Equatable, CustomStringConvertible {
  /// `org/name`
  package let repository: String
  /// A branch, a tag, `refs/pr/1`, or a whole commit; nil: `main`.
  package let revision: String?

  /// nil when `text` is not spelled so.
  package init?(_ text: String) {
    let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let words = halves[0].split(separator: "/", omittingEmptySubsequences: false)
    let isPlain = words.allSatisfy { word in
      word.wholeMatch(of: /[A-Za-z0-9_][A-Za-z0-9_.\-]*/) != nil && !word.contains("--") && !word.contains("..")
    }
    guard words.count == 2, isPlain else { return nil }
    repository = halves[0]
    revision = halves.count == 2 ? halves[1] : nil
    guard let revision else { return }
    let steps = revision.split(separator: "/", omittingEmptySubsequences: false)
    guard steps.allSatisfy({ !$0.isEmpty && !$0.hasPrefix(".") }) else { return nil }
  }

  package var description: String { revision.map { "\(repository)@\($0)" } ?? repository }
}

/// The local cache of the Hugging Face Hub, by its documented layout
/// (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). Nothing is fetched and nothing is written.
///
///     ROOT/models--org--name/refs/main            the commit of a branch or tag
///     ROOT/models--org--name/snapshots/COMMIT/    the files of a commit, as links to blobs
package struct HubCache: Sendable {
  package let root: String

  /// The cache that `huggingface_hub` uses under these environment variables. An empty variable counts as unset.
  package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    func variable(_ name: String) -> String? {
      guard let value = environment[name], !value.isEmpty else { return nil }
      return expanded(value, environment)
    }
    let home = variable("HF_HOME") ?? (variable("XDG_CACHE_HOME") ?? expanded("~/.cache", environment)) + "/huggingface"
    root = variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE") ?? home + "/hub"
  }

  /// The folder with the files of a repository's revision.
  package func folder(of name: HubName) throws(CheckpointError) -> String {
    let store = "\(root)/models--\(name.repository.replacing("/", with: "--"))"
    let fetch = "hf download \(name.repository)" + (name.revision.map { " --revision \($0)" } ?? "")
    guard isFolder(store) else {
      throw .missing(
        path: store, remedy: "\(name.repository) is not in the Hugging Face cache: fetch it with `\(fetch)`")
    }
    let commit = try commit(of: name, in: store, fetch: fetch)
    let folder = "\(store)/snapshots/\(commit)"
    guard FileManager.default.fileExists(atPath: folder + "/config.json") else {
      throw .missing(
        path: folder + "/config.json", remedy: "this commit is not in the cache, or only in part: `\(fetch)`")
    }
    return folder
  }

  /// A name in `refs` gives a commit; a whole commit is one already. Anything else is refused: the start of a commit
  /// would be a guess.
  private func commit(of name: HubName, in store: String, fetch: String) throws(CheckpointError) -> String {
    let revision = name.revision ?? "main"
    if let reference = FileManager.default.contents(atPath: "\(store)/refs/\(revision)") {
      let commit = String(decoding: reference, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
      guard isCommit(commit) else {
        throw .malformed(
          path: "\(store)/refs/\(revision)", problem: "not a commit", remedy: "fetch it again: `\(fetch)`")
      }
      return commit
    }
    if isCommit(revision), isFolder("\(store)/snapshots/\(revision)") { return revision }
    let known = (files(under: "\(store)/refs") + files(in: "\(store)/snapshots")).joined(separator: ", ")
    throw .missing(
      path: "\(store)/refs/\(revision)",
      remedy: "the cache has \(name.repository) at \(known.isEmpty ? "no revision" : known); or fetch it: `\(fetch)`")
  }

  private func files(in folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }

  private func files(under folder: String) -> [String] {
    (FileManager.default.subpaths(atPath: folder) ?? []).filter { !isFolder("\(folder)/\($0)") }.sorted()
  }
}

/// Where a folder lies in a Hugging Face cache: which repository it is, at which commit.
package struct HubSnapshot: Sendable, Equatable {
  /// `org/name`
  package let repository: String
  /// 40 hexadecimal digits.
  package let commit: String

  /// nil for a folder that is not `.../models--org--name/snapshots/COMMIT`.
  package init?(folder: String) {
    let parts = folder.split(separator: "/").map(String.init)
    guard parts.count >= 3, parts[parts.count - 2] == "snapshots", let commit = parts.last, isCommit(commit),
      parts[parts.count - 3].hasPrefix("models--")
    else { return nil }
    repository = String(parts[parts.count - 3].dropFirst("models--".count)).replacing("--", with: "/")
    self.commit = commit
  }
}

private func isCommit(_ text: String) -> Bool { text.wholeMatch(of: /[0-9a-f]{40}/) != nil }

private func isFolder(_ path: String) -> Bool {
  var isFolder: ObjCBool = false
  return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}

/// `~` at the start and `$NAME` or `${NAME}` anywhere, as Python's expanduser and expandvars; unknown ones stay.
private func expanded(_ path: String, _ environment: [String: String]) -> String {
  var path = path
  if path == "~" || path.hasPrefix("~/") { path = (environment["HOME"] ?? NSHomeDirectory()) + path.dropFirst() }
  return path.replacing(/\$(?:(\w+)|\{([^}]*)\})/) { match in
    let name = String(match.output.1 ?? match.output.2 ?? "")
    return environment[name] ?? String(match.output.0)
  }
}
