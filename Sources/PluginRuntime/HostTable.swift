import Diagnostics
import Glibc
import PluginABI

/// What the host does for a plugin. `log` and `cancelled` may be called from a plugin's own threads.
package struct HostServices {
  package enum LogLevel: Int32, Sendable { case debug, info, warning, error }

  package var log: @Sendable (LogLevel, String) -> Void
  package var cancelled: @Sendable () -> Bool
  /// Takes rows for a lane; what it throws becomes the failure of the call.
  package var emit: (_ lane: UInt32, _ table: String, _ columns: [Column]) throws -> Void
  /// The key of a lane's random streams, see `Philox.key`; throws for a lane that is not open.
  package var randomKey: (_ lane: UInt32) throws -> SIMD2<UInt32>
  /// Rows of the item in hand; throws outside of plan(item) and begin_lane, and for a selector that is wrong.
  package var select: (_ tower: String, _ selector: String) throws -> [Int]
  package typealias Divergence = (_ hidden: TensorValue, _ finals: TensorValue) throws -> (
    values: [Float], gradient: [Float]
  )
  /// What a lens that learns is trained by: KL(finals || hidden) in nats of each row, [rows], and its gradient at hidden, [rows, width].
  /// nil where nothing learns.
  package var divergence: Divergence?
  package var editOperations: Set<EditRequest.Operation>
  package var readingOperations: Set<ReadingRequest.Operation>

  package init(
    log: @escaping @Sendable (LogLevel, String) -> Void = { _, _ in },
    cancelled: @escaping @Sendable () -> Bool = { false },
    emit: @escaping (UInt32, String, [Column]) throws -> Void,
    randomKey: @escaping (UInt32) throws -> SIMD2<UInt32>,
    select: @escaping (String, String) throws -> [Int] = { _, _ in throw OutsideItem() },
    divergence: Divergence? = nil,
    editOperations: Set<EditRequest.Operation> = Set(EditRequest.Operation.allCases),
    readingOperations: Set<ReadingRequest.Operation> = [.lens, .mass, .capture]
  ) {
    self.log = log
    self.cancelled = cancelled
    self.emit = emit
    self.randomKey = randomKey
    self.select = select
    self.divergence = divergence
    self.editOperations = editOperations
    self.readingOperations = readingOperations
  }
}

/// Rows or random words were asked for a lane that is not open.
package struct NoLane: Error, CustomStringConvertible {
  package let description: String

  package init(_ lane: UInt32) { description = "lane \(lane) is not open" }
}

/// `select` was called where no item is in hand.
package struct OutsideItem: Error, CustomStringConvertible {
  package let description = "works inside of plan(item) and begin_lane only"

  package init() {}
}

/// The table of host functions that a plugin instance holds from create to destroy.
///
/// A fault inside a host call (columns that break the contract, say) is kept here too, so that a plugin that ignores
/// the status cannot hide it: the instance takes it after every call.
final class HostTable {
  let services: HostServices
  let table: UnsafeMutablePointer<ablate_host>
  private let memory = ForeignMemory()
  let lens: UnsafeMutablePointer<ablate_ext_lens>
  var fault: String?
  /// Blocks given out by `alloc`, by address; what is left when the instance ends is freed then.
  private var blocks: [UnsafeMutableRawPointer: Int] = [:]

  static let allocationCap: UInt64 = 1 << 32

  init(_ services: HostServices) {
    self.services = services
    (table, lens) = (.allocate(capacity: 1), .allocate(capacity: 1))
    var host = ablate_host()
    host.struct_size = ABI.size(of: ablate_host.self)
    (host.abi_major, host.abi_minor) = (ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR)
    host.edit_ops = services.editOperations.reduce(0) { $0 | 1 << UInt64($1.rawValue) }
    host.reading_ops = services.readingOperations.reduce(0) { $0 | 1 << UInt64($1.rawValue) }
    host.name = memory.string("ablate")
    host.version = memory.string("\(ABI.major).\(ABI.minor)")
    table.initialize(to: host)
    table.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
    lens.initialize(to: lensTable)
    fillFunctions()
  }

  deinit {
    for block in blocks.keys { free(block) }
    table.deallocate()
    lens.deallocate()
  }

  /// What went wrong in host calls since the last time that this was asked.
  func takeFault() -> String? {
    defer { fault = nil }
    return fault
  }

  /// Bytes that the plugin allocated and did not release.
  var outstanding: Int { blocks.values.reduce(0, +) }

  private func fillFunctions() {
    table.pointee.extension = { ctx, id in HostTable.of(ctx)?.extension(id) }
    table.pointee.log = { ctx, level, text in
      HostTable.of(ctx)?.log(level, text)
    }
    table.pointee.alloc = { ctx, bytes, align in HostTable.of(ctx)?.allocate(bytes, align) }
    table.pointee.release = { ctx, block in HostTable.of(ctx)?.release(block) }
    table.pointee.random = { ctx, lane, stream, first, out, n in
      HostTable.of(ctx)?.random(lane, stream, first, out, n) ?? ABLATE_E_STATE
    }
    table.pointee.emit = { ctx, lane, table, columns, nColumns, nRows in
      HostTable.of(ctx)?.emit(lane, table, columns, nColumns, nRows) ?? ABLATE_E_STATE
    }
    table.pointee.select = { ctx, tower, selector, rows, capacity in
      HostTable.of(ctx)?.select(tower, selector, rows, capacity) ?? -1
    }
    table.pointee.cancelled = { ctx in HostTable.of(ctx)?.services.cancelled() == true ? 1 : 0 }
  }

  static func of(_ ctx: UnsafeMutableRawPointer?) -> HostTable? {
    ctx.map { Unmanaged<HostTable>.fromOpaque($0).takeUnretainedValue() }
  }

  private func log(_ level: Int32, _ text: UnsafePointer<CChar>?) {
    guard let text else { return }
    let bytes = UnsafeRawBufferPointer(start: text, count: strnlen(text, ForeignReader.stringCap))
    services.log(HostServices.LogLevel(rawValue: level) ?? .info, String(decoding: bytes, as: UTF8.self))
  }

  private func allocate(_ bytes: UInt64, _ align: UInt64) -> UnsafeMutableRawPointer? {
    guard bytes <= Self.allocationCap, align <= 4096, align.nonzeroBitCount <= 1 else { return nil }
    var block: UnsafeMutableRawPointer?
    guard posix_memalign(&block, Int(max(align, 16)), Int(max(bytes, 1))) == 0, let block else { return nil }
    blocks[block] = Int(bytes)
    return block
  }

  private func release(_ block: UnsafeMutableRawPointer?) {
    guard let block else { return }
    guard blocks.removeValue(forKey: block) != nil else {
      fault = "release() of an address that alloc() did not give"
      return
    }
    free(block)
  }

  private func random(
    _ lane: UInt32, _ stream: UInt64, _ first: UInt64, _ out: UnsafeMutablePointer<UInt32>?, _ n: UInt64
  ) -> ablate_status {
    do {
      let reader = ForeignReader(at: "random")
      guard let out else { throw reader.fault("out", "is NULL") }
      guard n <= 1 << 32 else { throw reader.fault("n", "is \(n); at most \(1 << 32)") }
      let words = UnsafeMutableBufferPointer(start: out, count: Int(n))
      Philox.fill(words, key: try services.randomKey(lane), stream: stream, first: first)
      return ABLATE_OK
    } catch {
      return keep(error, of: "random")
    }
  }

  /// Keeps what went wrong in a host call.
  private func keep(_ error: any Error, of call: String) -> ablate_status {
    if let error = error as? ForeignReader.Fault {
      fault = "\(error.field): \(error.problem)"
      return ABLATE_E_INVALID
    }
    fault = "\(call): \((error as? any DiagnosedError)?.diagnosis.what ?? "\(error)")"
    return error is NoLane ? ABLATE_E_STATE : ABLATE_E_INVALID
  }

  private func select(
    _ tower: UnsafePointer<CChar>?, _ selector: UnsafePointer<CChar>?, _ out: UnsafeMutablePointer<Int32>?,
    _ capacity: UInt64
  ) -> Int64 {
    do {
      let reader = ForeignReader(at: "select")
      let rows = try services.select(reader.string(tower, "tower"), reader.string(selector, "selector"))
      if let out { for (i, row) in rows.prefix(Int(clamping: capacity)).enumerated() { out[i] = Int32(clamping: row) } }
      return Int64(rows.count)
    } catch {
      _ = keep(error, of: "select")
      return -1
    }
  }

  private func emit(
    _ lane: UInt32, _ name: UnsafePointer<CChar>?, _ columns: UnsafePointer<ablate_column>?, _ nColumns: UInt64,
    _ nRows: UInt64
  ) -> ablate_status {
    do {
      let table = try ForeignReader(at: "emit").string(name, "table")
      try services.emit(lane, table, ForeignReader.columns(columns, nColumns, rows: nRows))
      return ABLATE_OK
    } catch {
      return keep(error, of: "emit")
    }
  }
}
