import Foundation
import Glibc

/// How far a run is, on stderr: a bar that is redrawn at most ten times a second on a terminal, else a plain line every
/// few seconds.
package struct Progress {
  package enum Style: Sendable, Equatable {
    case bar(colour: Bool, width: Int)
    case lines
    case silent
  }

  private let style: Style
  private let total: Int
  /// What is counted, in the singular.
  private let unit: String
  private let write: (String) -> Void
  private let now: () -> Double
  private let start: Double
  /// What was done before this process began: they say nothing about its speed.
  private let before: Int
  private var done: Int
  private var lastDrawn = -Double.infinity

  /// - Parameter now: seconds on a clock that only goes forward.
  package init(
    total: Int, done: Int, unit: String = "trial", style: Style,
    write: @escaping (String) -> Void = Progress.toStandardError,
    now: @escaping () -> Double = { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }
  ) {
    self.total = total
    self.unit = unit
    self.done = done
    self.style = style
    self.write = write
    self.now = now
    before = done
    start = now()
  }

  package static let toStandardError: @Sendable (String) -> Void = { text in
    let bytes = Array(text.utf8)
    _ = Glibc.write(2, bytes, bytes.count)
  }

  /// A bar if stderr is a terminal that can do it; NO_COLOR and TERM=dumb are respected.
  package static func style(environment: [String: String] = ProcessInfo.processInfo.environment) -> Style {
    guard isatty(2) == 1, environment["TERM"] != "dumb" else { return .lines }
    var size = winsize()
    let known = ioctl(2, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    let colour = environment["NO_COLOR"].map(\.isEmpty) ?? true
    return .bar(colour: colour, width: known ? Int(size.ws_col) : 80)
  }

  package mutating func advance(by count: Int, at what: String) {
    done += count
    draw(what, interval: done == total ? 0 : nil)
  }

  /// Ends the bar's line. What follows on stderr starts at its beginning.
  package mutating func finish() {
    guard case .bar = style, lastDrawn > -.infinity else { return }
    write("\n")
  }

  private mutating func draw(_ what: String, interval: Double?) {
    let time = now()
    switch style {
    case .silent: return
    case .bar(let colour, let width):
      guard time - lastDrawn >= interval ?? 0.1 else { return }
      write("\r" + bar(what, elapsed: time - start, colour: colour, width: width) + "\u{1b}[K")
    case .lines:
      guard time - max(lastDrawn, start) >= interval ?? 5 else { return }
      write("\(counts) \(what) \(timing(time - start))\n")
    }
    lastDrawn = time
  }

  private var counts: String { "\(done)/\(total) \(unit)s" }

  /// `31.0 trials/s, 12 s left`
  private func timing(_ elapsed: Double) -> String {
    guard elapsed > 0, done > before else { return "" }
    let rate = Double(done - before) / elapsed
    let left = Double(total - done) / rate
    let speed = rate >= 1 ? String(format: "%.1f \(unit)s/s", rate) : String(format: "%.1f s/\(unit)", 1 / rate)
    return "\(speed), \(Progress.duration(left)) left"
  }

  private func bar(_ what: String, elapsed: Double, colour: Bool, width: Int) -> String {
    let cells = 24
    let filled = total == 0 ? cells : done * cells / total
    let full = String(repeating: "━", count: filled)
    let empty = String(repeating: colour ? "━" : "·", count: cells - filled)
    let drawn = colour ? "\u{1b}[36m\(full)\u{1b}[90m\(empty)\u{1b}[0m" : full + empty
    let text = " \(counts) \(timing(elapsed)) \(what)"
    return drawn + String(text.prefix(max(0, width - cells - 1)))
  }

  /// `45 s`, `3 min 20 s`, `2 h 5 min`
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "a long time" }
    let whole = Int(seconds.rounded())
    switch whole {
    case ..<60: return "\(whole) s"
    case ..<3600: return "\(whole / 60) min \(whole % 60) s"
    default: return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }
  }
}
