import CShims
import Glibc

/// Closes this process as far as can be done before a program is started, and becomes a Python interpreter, which closes the rest itself
/// (worker.py): the seccomp filter refuses to start programs.
enum PythonLauncher {
  /// - Parameter words: of the command line: limit in MiB, interpreter, its options and text, `--`, then what it must read.
  static func run(_ words: [String]) -> Never {
    guard words.count > 3, let mebibytes = Int(words[1]), let end = words.firstIndex(of: "--"), end > 3 else {
      _exit(2)
    }
    let (interpreter, text) = (words[2], words[3..<end])
    let held = Sandbox.close(mebibytes: mebibytes, readable: Array(words[(end + 1)...]), allowsWritableCode: true)
    let filter = Sandbox.filterProgram()
    let arguments = [interpreter] + text + [held.joined(separator: ","), filter.hex]
    var strings = arguments.map { strdup($0) } + [nil]
    execv(interpreter, &strings)
    perror(interpreter)
    _exit(127)
  }
}

extension [UInt8] {
  fileprivate var hex: String { map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
