import Glibc

/// What of a process a plugin could change for everybody in it.
struct ProcessState: Equatable {
  private var floatingPoint = Self.floatingPointControl()
  private var locale = setlocale(LC_ALL, nil).map { String(cString: $0) }
  private var folder = Self.currentFolder()
  private var mask = Self.fileMask()
  private var handlers = Self.signals.map { Self.handler(of: $0.number) }
  private var streams = (0..<3).map { Self.identity(of: $0) }

  private static let signals: [(name: String, number: Int32)] = [
    ("SIGHUP", SIGHUP), ("SIGINT", SIGINT), ("SIGABRT", SIGABRT), ("SIGFPE", SIGFPE), ("SIGSEGV", SIGSEGV),
    ("SIGBUS", SIGBUS), ("SIGPIPE", SIGPIPE), ("SIGALRM", SIGALRM), ("SIGTERM", SIGTERM), ("SIGCHLD", SIGCHLD),
    ("SIGUSR1", SIGUSR1), ("SIGUSR2", SIGUSR2),
  ]

  /// What differs from `before`, in words.
  func changes(since before: ProcessState) -> [String] {
    var all: [String] = []
    if floatingPoint != before.floatingPoint { all.append("the floating-point mode (rounding, FTZ, DAZ or traps)") }
    if locale != before.locale { all.append("the locale") }
    if folder != before.folder { all.append("the working folder") }
    if mask != before.mask { all.append("the umask") }
    for (i, signal) in Self.signals.enumerated() where handlers[i] != before.handlers[i] {
      all.append("the handler of \(signal.name)")
    }
    for i in 0..<3 where streams[i] != before.streams[i] { all.append("file descriptor \(i)") }
    return all
  }

  /// The control bits, without the flags of what has happened.
  private static func floatingPointControl() -> UInt64 {
    var environment = fenv_t()
    fegetenv(&environment)
    #if arch(x86_64)
      return UInt64(environment.__mxcsr & ~0x3F)
    #else
      return UInt64(environment.__fpcr)
    #endif
  }

  private static func currentFolder() -> String {
    var buffer = [CChar](repeating: 0, count: 4097)
    return getcwd(&buffer, 4096).map { String(cString: $0) } ?? ""
  }

  private static func fileMask() -> mode_t {
    let mask = umask(0)
    umask(mask)
    return mask
  }

  private static func handler(of signal: Int32) -> [UInt8] {
    var action = sigaction()
    sigaction(signal, nil, &action)
    return withUnsafeBytes(of: action.__sigaction_handler) { Array($0) }
  }

  private static func identity(of descriptor: Int32) -> [UInt64] {
    var facts = stat()
    return fstat(descriptor, &facts) == 0 ? [UInt64(facts.st_dev), UInt64(facts.st_ino)] : []
  }
}
