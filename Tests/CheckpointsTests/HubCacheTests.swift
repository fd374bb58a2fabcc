import Checkpoints
import Diagnostics
import Foundation
import TestSupport
import Testing

private let first = String(repeating: "a1", count: 20)
private let second = String(repeating: "b2", count: 20)

/// A cache as `huggingface_hub` lays it out, made by hand. Tools/data/check_hub_cache.py checks one that it made itself.
private func cache() throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  let store = "hub/models--org--tiny-llava"
  try folder.write(first, to: "\(store)/refs/main")
  try folder.write(second + "\n", to: "\(store)/refs/refs/pr/1")
  try folder.write(String(repeating: "c3", count: 20), to: "\(store)/refs/gone")
  try folder.write("main", to: "\(store)/refs/odd")
  for (commit, text) in [(first, "one"), (second, "two")] {
    try folder.write(text, to: "\(store)/blobs/\(text)")
    try FileManager.default.createDirectory(
      atPath: folder.file("\(store)/snapshots/\(commit)"), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("\(store)/snapshots/\(commit)/config.json"), withDestinationPath: "../../blobs/\(text)")
  }
  return folder
}

private func folder(of name: String, in cache: TemporaryFolder) throws -> String {
  try HubCache(environment: ["HF_HOME": cache.path]).folder(of: #require(HubName(name)))
}

private func refusal(of name: String, in cache: TemporaryFolder) -> Diagnosis? {
  do {
    _ = try folder(of: name, in: cache)
    return nil
  } catch { return (error as? CheckpointError)?.diagnosis }
}

@Suite struct `The Hugging Face cache` {
  @Test func `a name is the commit of main, a revision that of its reference or a commit itself`() throws {
    let cache = try cache()
    let snapshots = cache.file("hub/models--org--tiny-llava/snapshots/")
    #expect(try folder(of: "org/tiny-llava", in: cache) == snapshots + first)
    #expect(try folder(of: "org/tiny-llava@main", in: cache) == snapshots + first)
    #expect(try folder(of: "org/tiny-llava@refs/pr/1", in: cache) == snapshots + second)
    #expect(try folder(of: "org/tiny-llava@\(second)", in: cache) == snapshots + second)
    #expect(try String(contentsOfFile: snapshots + second + "/config.json", encoding: .utf8) == "two")
  }

  @Test func `an unknown revision is said with what is there, never guessed`() throws {
    let cache = try cache()
    for revision in ["v2", String(second.prefix(8)), String(repeating: "d4", count: 20)] {
      let diagnosis = try #require(refusal(of: "org/tiny-llava@\(revision)", in: cache))
      #expect(diagnosis.exit == .missingInput && diagnosis.place.hasSuffix("/refs/\(revision)"))
      #expect(diagnosis.remedy.contains("main, odd, refs/pr/1, \(first), \(second)"), "\(diagnosis.remedy)")
      #expect(diagnosis.remedy.contains("hf download org/tiny-llava --revision \(revision)"))
    }
    #expect(refusal(of: "org/tiny-llava@odd", in: cache)?.what == "not a commit")
    #expect(refusal(of: "org/tiny-llava@gone", in: cache)?.remedy.hasPrefix("this commit is not in the cache") == true)
    #expect(refusal(of: "org/other", in: cache)?.remedy.contains("hf download org/other") == true)
  }

  @Test func `the folder is where huggingface_hub looks for it`() {
    func root(_ environment: [String: String]) -> String {
      HubCache(environment: environment.merging(["HOME": "/h", "D": "disk"]) { $1 }).root
    }
    #expect(root([:]) == "/h/.cache/huggingface/hub")
    #expect(root(["XDG_CACHE_HOME": "/x"]) == "/x/huggingface/hub")
    #expect(root(["XDG_CACHE_HOME": "/x", "HF_HOME": "~/hf"]) == "/h/hf/hub")
    #expect(root(["HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/${D}/old"]) == "/disk/old")
    #expect(root(["HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/$D/$NONE"]) == "/disk/$NONE")
    #expect(root(["HF_HUB_CACHE": "", "HF_HOME": "/hf"]) == "/hf/hub")
  }

  @Test func `names are told from paths`() {
    #expect(HubName("llava-hf/llava-1.5-7b-hf")?.repository == "llava-hf/llava-1.5-7b-hf")
    #expect(HubName("org/name@v1.0")?.revision == "v1.0")
    for path in ["name", "./a", "a/b/c", "/a/b", "../a", "a/", "~/a", "a/..", "a--b/c", "a/b@", "a/b@../x", "a/b@x//y"]
    {
      #expect(HubName(path) == nil, "\(path)")
    }
  }

  @Test func `a snapshot's folder says its repository and commit`() {
    let snapshot = HubSnapshot(folder: "/x/hub/models--org--tiny-llava/snapshots/\(first)")
    #expect(snapshot?.repository == "org/tiny-llava" && snapshot?.commit == first)
    #expect(HubSnapshot(folder: "/x/checkpoints/demo") == nil)
    #expect(HubSnapshot(folder: "/x/models--org--name/snapshots/main") == nil)
  }
}
