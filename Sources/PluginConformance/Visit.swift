import Glibc
import PluginABI
import PluginRuntime

/// A hook point at which a plan wants to be called, with the rows that the specimen has there.
struct Visit {
  var tower: String
  var site: String
  var layer: Int?
  /// In the plan's accesses.
  var access: Int
  var isWritable: Bool
  var rows: [Int32]
  var heads: [Int32]

  var name: String { "\(tower)\(layer.map { ".\($0)" } ?? "").\(site)" }
  var shape: [Int] { Specimen.shape(tower: tower, site: site, rows: rows.count, heads: heads.count) ?? [] }
  var hasHeads: Bool { shape.count == 3 }
  var hasKeys: Bool { ["attn_scores", "pattern"].contains(site) }
  var phase: EventPlace.Phase {
    switch tower {
    case "vision": .vision
    case "projector": .projector
    default: .prefill
    }
  }

  /// All visits of a plan, in the order of the pass.
  static func all(of plan: PlanRequest) throws(Finding) -> [Visit] {
    var visits: [Visit] = []
    for (i, access) in plan.accesses.enumerated() {
      guard Specimen.sequence[access.tower] != nil,
        Specimen.shape(tower: access.tower, site: access.site, rows: 1, heads: 1) != nil
      else { throw .fault("plan: accesses[\(i)] names \(access.tower).\(access.site), which is no hook point") }
      for layer in layers(access) { visits.append(Visit(access, i, layer)) }
    }
    let order = ["vision", "projector", "text"]
    return visits.sorted {
      (order.firstIndex(of: $0.tower) ?? 0, $0.layer ?? 99, $0.access)
        < (order.firstIndex(of: $1.tower) ?? 0, $1.layer ?? 99, $1.access)
    }
  }

  init(_ request: AccessRequest, _ access: Int, _ layer: Int?) {
    (tower, site, self.layer, self.access) = (request.tower, request.site, layer, access)
    isWritable = request.access.contains(.write)
    let length = Int32(Specimen.sequence[tower] ?? 0)
    switch request.tokens {
    case .rows(let list): rows = list.map { Int32(clamping: $0) }.filter { (0..<length).contains($0) }
    case .selector("last"): rows = [length - 1]
    case .selector: rows = Specimen.rows(of: tower)
    }
    let all = (0..<Specimen.heads(tower: tower, site: site)).map { Int32($0) }
    heads = request.heads.map { wanted in all.filter { wanted.contains(Int($0)) } } ?? all
  }

  /// A selector of layers is not resolved here: its first number is taken, or every layer.
  private static func layers(_ access: AccessRequest) -> [Int?] {
    guard let count = Specimen.layers[access.tower], !["embed", "final_norm", "logits"].contains(access.site) else {
      return [nil]
    }
    switch access.layers {
    case .selector(let text):
      guard let first = Int(text.prefix { $0.isNumber }), first < count else { return Array(0..<count) }
      return [first]
    case .range(let first, let last):
      let (low, high) = (first < 0 ? first + count : first, last < 0 ? last + count : last)
      return low <= high && low >= 0 && high < count ? Array(low...high) : Array(0..<count)
    }
  }
}

/// The memory of one view: f32 between bytes that must stay, or against a page that must not be touched.
final class ViewMemory {
  enum Placement: Sendable {
    /// Bytes on both sides.
    case open
    /// A page without access lies directly behind it.
    case guardedBehind
    /// A page without access lies directly before it.
    case guardedBefore
  }

  /// Elements on both sides of an open view that are watched.
  static let openMargin = 16

  let start: UnsafeMutablePointer<Float>
  let count: Int
  private let mapping: UnsafeMutableRawPointer
  private let mappedBytes: Int
  private let inner: UnsafeMutableRawBufferPointer
  private let isWritable: Bool
  private let before: [Float]

  init?(_ values: [Float], _ placement: Placement, isWritable: Bool) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let pages = (values.count * 4 + 2 * 4 * Self.openMargin) / page + 1
    mappedBytes = (pages + 2) * page
    guard let mapped = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      mapped != MAP_FAILED
    else { return nil }
    (mapping, count, before, self.isWritable) = (mapped, values.count, values, isWritable)
    inner = UnsafeMutableRawBufferPointer(start: mapped + page, count: pages * page)
    inner.initializeMemory(as: UInt8.self, repeating: 0xA5)
    let offset =
      switch placement {
      case .open: 4 * Self.openMargin
      case .guardedBehind: inner.count - values.count * 4
      case .guardedBefore: 0
      }
    start = (mapped + page + offset).bindMemory(to: Float.self, capacity: values.count)
    start.initialize(from: values, count: values.count)
    mprotect(mapped, page, PROT_NONE)
    mprotect(mapped + page + pages * page, page, PROT_NONE)
    if !isWritable, placement != .open { mprotect(mapped + page, pages * page, PROT_READ) }
  }

  deinit { munmap(mapping, mappedBytes) }

  var bits: [UInt32] { UnsafeBufferPointer(start: start, count: count).map(\.bitPattern) }

  /// What a call may not have done.
  func check(_ place: String) throws(Finding) {
    let view =
      UnsafeRawPointer(start) - UnsafeRawPointer(mapping)
      - (UnsafeRawPointer(inner.baseAddress ?? mapping) - UnsafeRawPointer(mapping))
    let outside = Array(inner[0..<view]) + Array(inner[(view + count * 4)...])
    guard outside.allSatisfy({ $0 == 0xA5 }) else { throw .fault("\(place): bytes beside the view were written") }
    guard isWritable || bits == before.map(\.bitPattern) else {
      throw .fault("\(place): a view that may only be read was written")
    }
  }
}
