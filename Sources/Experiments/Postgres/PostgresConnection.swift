import Diagnostics
import Foundation
import Glibc

/// A connection to a PostgreSQL server through libpq, which is opened when it is asked for: the program is built and runs
/// without it. Calls and values are those of libpq's documentation, chapter 34 of PostgreSQL 15's.
final class PostgresConnection {
  private let library: LibPQ
  private let connection: OpaquePointer
  private let place: String

  /// - Parameter address: `postgres://user@host/database`, or any other form that libpq takes.
  /// - Throws: `database`, with the server's own words.
  init(_ address: String) throws {
    place = PostgresConnection.withoutPassword(address)
    guard let library = LibPQ() else {
      throw ExperimentError.database(
        place: place, what: "libpq is not on this machine", remedy: "install Debian's libpq5", exit: .missingInput)
    }
    guard let connection = library.connect(address) else {
      throw ExperimentError.database(place: place, what: "libpq has no memory", remedy: "", exit: .failure)
    }
    self.library = library
    self.connection = connection
    guard library.status(connection) == 0 else { throw failure(exit: .missingInput) }
  }

  deinit { library.finish(connection) }

  /// The password of a URL stays out of messages.
  static func withoutPassword(_ address: String) -> String {
    address.replacing(/(\/\/[^:@\/]*):[^@]*@/) { "\($0.1)@" }.replacing(/password=[^&\s]*/, with: "password=…")
  }

  /// Runs statements that give nothing back, or one value.
  @discardableResult
  func run(_ sql: String) throws -> String? {
    let result = library.execute(connection, sql)
    defer { library.clear(result) }
    let (commandOk, tuplesOk) = (Int32(1), Int32(2))
    let status = library.resultStatus(result)
    guard status == commandOk || status == tuplesOk else { throw failure() }
    guard status == tuplesOk, library.rowCount(result) > 0, let value = library.value(result, 0, 0) else { return nil }
    return String(cString: value)
  }

  /// `COPY table FROM STDIN`: the rows that `rows` hands to its argument, each a list of columns; nil is NULL.
  func copy(to table: String, _ rows: (_ row: ([String?]) throws -> Void) throws -> Void) throws {
    let begun = library.execute(connection, "COPY \(table) FROM STDIN")
    defer { library.clear(begun) }
    let copyIn: Int32 = 4
    guard library.resultStatus(begun) == copyIn else { throw failure() }
    var buffer: [UInt8] = []
    func send() throws {
      let sent = buffer.withUnsafeBytes {
        library.putCopyData(connection, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
      }
      guard sent == 1 else { throw failure() }
      buffer.removeAll(keepingCapacity: true)
    }
    try rows { columns in
      buffer += PostgresConnection.line(columns)
      if buffer.count > 1 << 16 { try send() }
    }
    try send()
    guard library.putCopyEnd(connection, nil) == 1 else { throw failure() }
    while let result = library.nextResult(connection) {
      let status = library.resultStatus(result)
      library.clear(result)
      guard status == 1 else { throw failure() }
    }
  }

  /// A row in COPY's text format.
  static func line(_ columns: [String?]) -> [UInt8] {
    var line: [UInt8] = []
    for (index, column) in columns.enumerated() {
      if index > 0 { line.append(UInt8(ascii: "\t")) }
      guard let column else {
        line += Array("\\N".utf8)
        continue
      }
      for byte in column.utf8 {
        switch byte {
        case UInt8(ascii: "\\"): line += Array("\\\\".utf8)
        case UInt8(ascii: "\t"): line += Array("\\t".utf8)
        case UInt8(ascii: "\n"): line += Array("\\n".utf8)
        case UInt8(ascii: "\r"): line += Array("\\r".utf8)
        default: line.append(byte)
        }
      }
    }
    return line + [UInt8(ascii: "\n")]
  }

  private func failure(exit: ExitStatus = .failure) -> ExperimentError {
    let words = library.errorMessage(connection).map { String(cString: $0) } ?? ""
    return .database(
      place: place, what: words.trimmingCharacters(in: .whitespacesAndNewlines).replacing("\n", with: "; "),
      remedy: "correct the address, or ask the database's owner; nothing of the run was stored", exit: exit)
  }
}

/// The functions of libpq that are used, found by their names.
private struct LibPQ {
  let connect: @convention(c) (UnsafePointer<CChar>) -> OpaquePointer?
  let status: @convention(c) (OpaquePointer) -> Int32
  let finish: @convention(c) (OpaquePointer) -> Void
  let errorMessage: @convention(c) (OpaquePointer) -> UnsafePointer<CChar>?
  let execute: @convention(c) (OpaquePointer, UnsafePointer<CChar>) -> OpaquePointer?
  let resultStatus: @convention(c) (OpaquePointer?) -> Int32
  let rowCount: @convention(c) (OpaquePointer?) -> Int32
  let value: @convention(c) (OpaquePointer?, Int32, Int32) -> UnsafePointer<CChar>?
  let clear: @convention(c) (OpaquePointer?) -> Void
  let putCopyData: @convention(c) (OpaquePointer, UnsafePointer<CChar>?, Int32) -> Int32
  let putCopyEnd: @convention(c) (OpaquePointer, UnsafePointer<CChar>?) -> Int32
  let nextResult: @convention(c) (OpaquePointer) -> OpaquePointer?

  init?() {
    guard let library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL) else { return nil }
    func function<T>(_ name: String, as type: T.Type) -> T? {
      dlsym(library, name).map { unsafeBitCast($0, to: type) }
    }
    guard let connect = function("PQconnectdb", as: (@convention(c) (UnsafePointer<CChar>) -> OpaquePointer?).self),
      let status = function("PQstatus", as: (@convention(c) (OpaquePointer) -> Int32).self),
      let finish = function("PQfinish", as: (@convention(c) (OpaquePointer) -> Void).self),
      let errorMessage = function(
        "PQerrorMessage", as: (@convention(c) (OpaquePointer) -> UnsafePointer<CChar>?).self),
      let execute = function(
        "PQexec", as: (@convention(c) (OpaquePointer, UnsafePointer<CChar>) -> OpaquePointer?).self),
      let resultStatus = function("PQresultStatus", as: (@convention(c) (OpaquePointer?) -> Int32).self),
      let rowCount = function("PQntuples", as: (@convention(c) (OpaquePointer?) -> Int32).self),
      let value = function(
        "PQgetvalue", as: (@convention(c) (OpaquePointer?, Int32, Int32) -> UnsafePointer<CChar>?).self),
      let clear = function("PQclear", as: (@convention(c) (OpaquePointer?) -> Void).self),
      let putCopyData = function(
        "PQputCopyData", as: (@convention(c) (OpaquePointer, UnsafePointer<CChar>?, Int32) -> Int32).self),
      let putCopyEnd = function(
        "PQputCopyEnd", as: (@convention(c) (OpaquePointer, UnsafePointer<CChar>?) -> Int32).self),
      let nextResult = function("PQgetResult", as: (@convention(c) (OpaquePointer) -> OpaquePointer?).self)
    else { return nil }
    self.connect = connect
    self.status = status
    self.finish = finish
    self.errorMessage = errorMessage
    self.execute = execute
    self.resultStatus = resultStatus
    self.rowCount = rowCount
    self.value = value
    self.clear = clear
    self.putCopyData = putCopyData
    self.putCopyEnd = putCopyEnd
    self.nextResult = nextResult
  }
}
