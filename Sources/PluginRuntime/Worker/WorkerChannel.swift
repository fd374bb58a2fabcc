import Glibc

/// One side of the line between a host and its worker. Turns go over a socket: a kind and a length, so that the end of a worker is seen at
/// once and waiting has a limit. What is said lies in shared memory, a message at its start and views of activations behind it.
package final class WorkerChannel: @unchecked Sendable {
  enum Kind: UInt32 {
    // from the host
    case create = 1
    case plan, beginLane, event, endLane, destroy
    /// Of a probe that learns.
    case fit, beginFit, batch, endFit, predict, save, load
    /// To `emit`, `select` or `randomKey`.
    case answer
    // from the worker
    case done = 32
    case failed, emit, select, randomKey, log
  }

  /// Why nothing came.
  enum Silence: Error { case closed, tooLate, nonsense(String) }

  /// Only what is used of it takes memory.
  package static let bytes = messageBytes + viewBytes
  static let messageBytes = 64 << 20
  static let viewBytes = 256 << 20
  private static let logBytes = 1024

  let socket: Int32
  private let memory: UnsafeMutableRawPointer
  private let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: 8 + logBytes, alignment: 8)

  /// Takes over `socket`; `shared` may be closed afterwards. nil where the memory cannot be mapped.
  package init?(socket: Int32, shared: Int32) {
    guard let mapped = mmap(nil, Self.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0), mapped != MAP_FAILED
    else { return nil }
    (self.socket, memory) = (socket, mapped)
  }

  deinit {
    munmap(memory, Self.bytes)
    packet.deallocate()
    close(socket)
  }

  /// Seconds that `receive` waits; 0: for ever.
  var patience = 0.0 {
    didSet {
      guard patience != oldValue else { return }
      var limit = timeval(tv_sec: Int(patience), tv_usec: Int(patience.truncatingRemainder(dividingBy: 1) * 1e6))
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
  }

  /// Where views lie.
  var views: UnsafeMutableRawPointer { memory + Self.messageBytes }

  func send(_ kind: Kind, _ message: WireWriter = WireWriter()) throws(Silence) {
    guard message.bytes.count <= Self.messageBytes else { throw .nonsense("a message of \(message.bytes.count) bytes") }
    message.bytes.withUnsafeBytes {
      memory.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: $0.count)
    }
    let words = (kind.rawValue, UInt32(message.bytes.count))
    let sent = withUnsafeBytes(of: words) { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    guard sent == 8 else { throw .closed }
  }

  /// May come from any thread; what the host does not take is dropped.
  func sendLog(_ level: Int32, _ text: String) {
    var words: [UInt8] = []
    for word in [Kind.log.rawValue, UInt32(bitPattern: level)] {
      withUnsafeBytes(of: word) { words.append(contentsOf: $0) }
    }
    words.append(contentsOf: text.utf8.prefix(Self.logBytes))
    _ = words.withUnsafeBytes {
      Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
  }

  enum Turn {
    case message(Kind, WireReader)
    case log(Int32, String)
  }

  /// The other side's next turn, copied out of the shared memory before it is looked at.
  func receive() throws(Silence) -> Turn {
    var count = 0
    repeat { count = recv(socket, packet.baseAddress, packet.count, 0) } while count < 0 && errno == EINTR
    if count < 0, errno == EAGAIN { throw .tooLate }
    guard count > 0 else { throw .closed }
    guard count >= 8, let kind = Kind(rawValue: packet.load(as: UInt32.self)) else {
      throw .nonsense("a turn of \(count) bytes")
    }
    let word = packet.load(fromByteOffset: 4, as: UInt32.self)
    if kind == .log { return .log(Int32(bitPattern: word), String(decoding: packet[8..<count], as: UTF8.self)) }
    guard word <= UInt32(Self.messageBytes) else { throw .nonsense("a message of \(word) bytes") }
    return .message(kind, WireReader(Array(UnsafeRawBufferPointer(start: memory, count: Int(word)))))
  }
}
