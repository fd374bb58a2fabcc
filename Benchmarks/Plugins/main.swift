// What a call into a plugin costs, by language and executor, what a worker costs to start, and how big the bundled plugins are.
//
//     make plugins && swift build -c release --product ablate-worker && swift run -c release plugin-benchmark
//
// Each plugin doubles the first element of a view. Plugins are built here, from the sources beside this file.

import Foundation
import PluginRuntime

let sources = (#filePath as NSString).deletingLastPathComponent
let root = sources.components(separatedBy: "/Benchmarks/")[0]
let folder = NSTemporaryDirectory() + "/ablate-plugin-benchmark"

struct Failure: Error { var what: String }

func run(_ arguments: [String]) throws {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = arguments
  try process.run()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else { throw Failure(what: arguments.joined(separator: " ")) }
}

/// A plugin of this folder, built.
func plugin(_ name: String, _ command: [String], plain: Bool = false) throws -> PluginManifest {
  let library = "\(name).so"
  try run(command + ["-o", "\(folder)/\(library)"])
  return try manifest(library, plain ? .plain : .sdk)
}

func manifest(_ library: String, _ grade: PluginManifest.Grade) throws -> PluginManifest {
  let places = ["tower", "site", "layers", "tokens"].map {
    #"{"id": "\#($0)", "type": "\#($0 == "layers" || $0 == "tokens" ? "selector" : "str")", "doc": "where"}"#
  }.joined(separator: ", ")
  let more =
    grade == .plain
    ? """
    , "params": [\(places)], "plain": {"symbol": "twice", "signature": "i32(f32*[n]:rw, i64 n)",
    "bind": ["view.data", "view.count"], "known_answer": {"input": [1, 3], "expect": [2, 3]}}
    """ : ""
  let json = """
    {"ablate": 1, "id": "twice", "version": "1.0.0", "kind": "intervention", "library": "\(library)",
     "abi": {"major": 1, "min_minor": 0}, "licence": "Apache-2.0", "golden": "golden.json",
     "footprint": [{"tower": "text", "sites": ["all"], "access": "rw"}], "grade": "\(grade.rawValue)"\(more)}
    """
  return try PluginManifest(json: Data(json.utf8), path: "\(folder)/plugin.json")
}

func open(_ manifest: PluginManifest, _ executor: Executor) throws -> any PluginCalls {
  try Placement(executor, .asked(by: "the benchmark")).open(
    manifest, parameters: manifest.resolve([:]), model: ModelFacts(),
    services: HostServices(emit: { _, _, _ in }, randomKey: { _ in SIMD2(0, 0) }))
}

/// Nanoseconds of each of `count` calls of `body`, sorted.
func times(_ count: Int, _ body: () throws -> Void) rethrows -> [Double] {
  try (0..<count).map { _ in
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start)
  }.sorted()
}

func tell(_ what: String, _ sorted: [Double], per: Double = 1, unit: String) {
  func at(_ share: Double) -> String { String(format: "%9.1f", sorted[Int(share * Double(sorted.count - 1))] / per) }
  print("\(what.padding(toLength: 44, withPad: " ", startingAt: 0)) \(at(0.5)) \(at(0.99)) \(unit)")
}

/// A call with one slice of [rows, 64].
func measure(_ what: String, _ calls: any PluginCalls, rows: Int, batch: Int, per: Double, unit: String) throws {
  let margin = 16
  let memory = UnsafeMutablePointer<Float>.allocate(capacity: rows * 64 + 2 * margin)
  defer { memory.deallocate() }
  memory.initialize(repeating: 0, count: rows * 64 + 2 * margin)
  let slice = SliceView(
    lane: 0, access: 0, view: memory + margin, margin: margin, shape: [rows, 64], rows: Array(0..<rows), heads: [],
    keys: 0, writable: true)
  let place = EventPlace(phase: .prefill, layer: 1, step: 0, tower: "text", site: "resid_post")
  try calls.beginLane(0, ItemFacts())
  func once() throws { for _ in 0..<batch { try calls.onEvent(place, [slice]) } }
  for _ in 0..<10 { try once() }
  tell(what, try times(2000, once), per: per * Double(batch), unit: unit)
  try calls.endLane(0, readings: [])
}

try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
let header = "\(root)/Sources/PluginABI/include"
let cc = ["cc", "-O2", "-shared", "-fPIC", "-I\(header)"]
let c = try plugin("twice_c", cc + ["\(sources)/twice.c"])
let swift = try plugin(
  "twice_swift",
  [
    "swiftc", "-O", "-parse-as-library", "-emit-library", "-module-name", "twice", "-I", header,
    "\(sources)/twice.swift",
  ])
let plain = try plugin("twice_plain", cc + ["\(sources)/twice_plain.c"], plain: true)
try run(["cp", "\(sources)/twice.py", folder])
let python = try manifest("twice.py", .python)

print("a call with one slice                               p50       p99")
for (name, manifest) in [("C", c), ("Swift", swift), ("plain C, libffi", plain)] {
  let calls = try open(manifest, .inProcess)
  try measure("in process, \(name), [16, 64]", calls, rows: 16, batch: 100, per: 1, unit: "ns")
}
for (name, manifest) in [("C", c), ("Python", python)] {
  for rows in [16, 640, 16384] {
    let size = rows * 64 * 4
    let bytes = size < 1 << 20 ? "\(size >> 10) KiB" : "\(size >> 20) MiB"
    let calls = try open(manifest, .worker)
    try measure("worker, \(name), [\(rows), 64] = \(bytes)", calls, rows: rows, batch: 1, per: 1e3, unit: "us")
  }
}
try measure("worker, Swift, [16, 64]", open(swift, .worker), rows: 16, batch: 1, per: 1e3, unit: "us")
try measure("worker, plain, [16, 64]", open(plain, .worker), rows: 16, batch: 1, per: 1e3, unit: "us")
print("\nstart of a worker, plugin loaded and made           p50       p99")
for (name, manifest) in [("C", c), ("Swift", swift), ("Python", python)] {
  tell(name, try times(100) { try open(manifest, .worker).destroy() }, per: 1e6, unit: "ms")
}

print("\nlibraries of the bundled plugins")
for name in try FileManager.default.contentsOfDirectory(atPath: "\(root)/Plugins").sorted() {
  let path = "\(root)/Plugins/\(name)/plugin.json"
  guard FileManager.default.fileExists(atPath: path) else { continue }
  let library = try PluginManifest(path: path).libraryPath
  let bytes = try FileManager.default.attributesOfItem(atPath: library)[.size] as? Int ?? 0
  print(name.padding(toLength: 44, withPad: " ", startingAt: 0), String(format: "%9.1f KiB", Double(bytes) / 1024))
}
