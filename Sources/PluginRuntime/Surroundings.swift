import Glibc

/// What a process has once for all its code, and a plugin must leave alone. Looked at when an instance is made and at the end of each lane.
struct Surroundings {
  private static let signals = [SIGINT, SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT]

  private let folder = Self.folder
  private let locale = Self.locale
  private let mask = Self.mask
  private let handlers = Self.handlers
  private let streams = Self.streams

  /// What changed, in words; nil: nothing. What can be put back is.
  func restore() -> String? {
    var changes: [String] = []
    if Self.folder != folder {
      changes.append("the current folder")
      chdir(folder)
    }
    if Self.locale != locale {
      changes.append("the locale")
      setlocale(LC_ALL, locale)
    }
    if let mask, let now = Self.mask, now != mask {
      changes.append("the umask")
      umask(mask)
    }
    for (signal, (now, before)) in zip(Self.signals, zip(Self.handlers, handlers)) where now != before {
      changes.append("the handler of signal \(signal)")
    }
    for (number, (now, before)) in zip(Self.streams, streams).enumerated() where now != before {
      changes.append("descriptor \(number), which it closed")
    }
    return changes.isEmpty ? nil : "changed what is the host's: \(changes.joined(separator: ", "))"
  }

  private static var folder: String {
    guard let path = getcwd(nil, 0) else { return "" }
    defer { free(path) }
    return String(cString: path)
  }

  private static var locale: String { setlocale(LC_ALL, nil).map { String(cString: $0) } ?? "" }

  /// From /proc: to ask with umask() is to change it, for other threads too. nil where /proc cannot be read.
  private static var mask: mode_t? {
    guard let file = fopen("/proc/self/status", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      if text.hasPrefix("Umask:") { return mode_t(text.dropFirst(6).filter(\.isNumber), radix: 8) }
    }
    return nil
  }

  private static var handlers: [UInt] {
    signals.map { signal in
      var action = sigaction()
      sigaction(signal, nil, &action)
      return unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self)
    }
  }

  /// Whether standard input, output and error are open.
  private static var streams: [Bool] { (0...2).map { fcntl(Int32($0), F_GETFD) >= 0 } }
}
