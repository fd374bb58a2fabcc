import Diagnostics
import Glibc
import PluginABI
import PluginRuntime

/// The host's table for a plugin under test: it counts what it lends, remembers what is emitted, and fails on demand.
final class CheckingHost {
  struct Settings {
    /// Bytes that a later host would have behind each struct.
    var growth = 0
    /// The n-th allocation and all behind it fail; nil: none.
    var failsFromAllocation: Int?
    var isCancelled = false
    /// Counts what is asked for, where somebody wants to know.
    var counter: Counter?
  }

  final class Counter {
    var allocations = 0
  }

  let settings: Settings
  let arena: StructArena
  let table: UnsafeMutablePointer<ablate_host>
  private var allocations = 0
  private var live: Set<UnsafeMutableRawPointer> = []
  /// Digest of everything that was emitted for a lane, in the order of the calls.
  private(set) var emitted: [UInt32: String] = [:]
  private(set) var fault: String?

  init(_ settings: Settings) {
    self.settings = settings
    arena = StructArena(growth: settings.growth)
    var host = ablate_host()
    (host.abi_major, host.abi_minor) = (ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR)
    host.edit_ops = EditRequest.Operation.allCases.reduce(0) { $0 | 1 << UInt64($1.rawValue) }
    host.reading_ops = 1 << UInt64(ABLATE_READ_LENS) | 1 << UInt64(ABLATE_READ_MASS) | 1 << UInt64(ABLATE_READ_CAPTURE)
    host.name = arena.string("ablate plugin check")
    host.version = arena.string("\(ABI.major).\(ABI.minor)")
    host.extension = { _, _ in nil }
    host.log = { _, _, _ in }
    host.alloc = { CheckingHost.of($0)?.allocate($1, $2) }
    host.release = { CheckingHost.of($0)?.release($1) }
    host.random = { _, lane, stream, first, out, n in
      guard let out, n <= 1 << 32 else { return ABLATE_E_INVALID }
      Philox.fill(
        UnsafeMutableBufferPointer(start: out, count: Int(n)), key: SIMD2(7, lane), stream: stream, first: first)
      return ABLATE_OK
    }
    host.emit = { CheckingHost.of($0)?.emit($1, $2, $3, $4, $5) ?? ABLATE_E_STATE }
    host.cancelled = { CheckingHost.of($0)?.settings.isCancelled == true ? 1 : 0 }
    host.select = { _, tower, _, rows, capacity in
      let all = Specimen.rows(of: tower.map { String(cString: $0) } ?? "")
      if let rows { for (i, row) in all.prefix(Int(clamping: capacity)).enumerated() { rows[i] = row } }
      return Int64(all.count)
    }
    table = arena.put(one: host)
    table.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
  }

  deinit { live.forEach { free($0) } }

  private static func of(_ ctx: UnsafeMutableRawPointer?) -> CheckingHost? {
    ctx.map { Unmanaged<CheckingHost>.fromOpaque($0).takeUnretainedValue() }
  }

  private func allocate(_ bytes: UInt64, _ align: UInt64) -> UnsafeMutableRawPointer? {
    allocations += 1
    settings.counter?.allocations = allocations
    if let limit = settings.failsFromAllocation, allocations >= limit { return nil }
    var block: UnsafeMutableRawPointer?
    guard align.nonzeroBitCount <= 1, align <= 4096, bytes <= 1 << 32,
      posix_memalign(&block, max(Int(align), 16), Int(max(bytes, 1))) == 0
    else { return nil }
    if let block { live.insert(block) }
    return block
  }

  private func release(_ block: UnsafeMutableRawPointer?) {
    guard let block else { return }
    guard live.remove(block) != nil else {
      return fault = "release() got an address that alloc() did not give"
    }
    free(block)
  }

  private func emit(
    _ lane: UInt32, _ table: UnsafePointer<CChar>?, _ columns: UnsafePointer<ablate_column>?, _ count: UInt64,
    _ rows: UInt64
  ) -> ablate_status {
    do {
      let copied = try Column.copied(columns, count, rows: rows)
      emitted[lane] = copied.digest(after: emitted[lane], table: table.map { String(cString: $0) } ?? "NULL")
      return ABLATE_OK
    } catch {
      fault = error.inCall
      return ABLATE_E_INVALID
    }
  }
}

extension PluginError {
  /// Without the plugin's name: there is only one.
  var inCall: String { if case .failed(_, let at, let reason) = self { "\(at): \(reason)" } else { "\(self)" } }
}

extension [Column] {
  /// Digest of everything that was emitted so far.
  func digest(after earlier: String?, table: String) -> String {
    SHA256.hex((earlier ?? "") + "\(table) \(map(\.bits))")
  }
}

extension Column {
  /// With the bits of numbers, for which NaN is not equal to itself.
  fileprivate var bits: String {
    if case .numbers(let all) = values { "\(name) \(all.map(\.bitPattern)) \(valid ?? [])" } else { "\(self)" }
  }
}
