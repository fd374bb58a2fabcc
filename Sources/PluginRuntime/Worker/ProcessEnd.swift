/// How a process ended that should have answered.
package enum ProcessEnd: Equatable, Sendable {
  case signal(Int32)
  case status(Int32)
  case hung(seconds: Double)

  /// From what waitpid gives.
  init(waited status: Int32) {
    self = status & 0x7F == 0 ? .status(status >> 8 & 0xFF) : .signal(status & 0x7F)
  }

  var words: String {
    switch self {
    case .signal(let signal): "it ended with signal \(signal) (\(Self.names[signal] ?? "?"))"
    case .status(let status): "it left the process with status \(status) instead of returning"
    case .hung(let seconds): "it had not returned after \(seconds) s"
    }
  }

  private static let names: [Int32: String] = [
    4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM",
    25: "SIGXFSZ", 31: "SIGSYS",
  ]
}
