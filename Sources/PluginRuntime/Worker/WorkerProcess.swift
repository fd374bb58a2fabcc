import CShims
import Foundation
import Glibc

/// A running `ablate-worker`, seen from the host.
package final class WorkerProcess {
  let channel: WorkerChannel
  private let pid: pid_t
  /// The worker's standard error; what a runtime says when it traps.
  private let errors: Int32
  private var ended: ProcessEnd?

  /// What a worker does with the bytes.
  enum Program {
    case library
    /// In so much address space.
    case python(mebibytes: Int)

    /// Behind the worker's path: what it becomes.
    func arguments() throws(PluginError) -> [String] {
      guard case .python(let mebibytes) = self else { return [] }
      let interpreter = try PythonInterpreter.find()
      let text = PackageResources.ablate_plugin_py + PackageResources.worker_py
      return ["\(mebibytes)", interpreter.executable] + PythonInterpreter.options + [
        String(decoding: text, as: UTF8.self)
      ]
        + ["--"] + interpreter.readable
    }
  }

  /// A sweep has a worker for each use of a plugin, with two descriptors each: as many as this process may have.
  private static let raisedLimit: Bool = {
    var limit = rlimit()
    guard getrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return false }
    limit.rlim_cur = min(limit.rlim_max, 65536)
    return setrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit) == 0
  }()

  /// - Parameter code: a descriptor of the checked bytes.
  init(code: Int32, program: Program) throws(PluginError) {
    _ = Self.raisedLimit
    let path = try Self.executable()
    let arguments = try [path] + program.arguments()
    func failure(_ what: String) -> PluginError {
      .failed(plugin: "ablate-worker", at: what, reason: String(cString: strerror(errno)))
    }
    var (pair, pipe): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard socketpair(PF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
      throw failure("socketpair")
    }
    defer { close(pair[1]) }
    let shared = ablate_shared_memfd("ablate-worker", WorkerChannel.bytes)
    defer { if shared >= 0 { close(shared) } }
    guard shared >= 0, let channel = WorkerChannel(socket: pair[0], shared: shared) else {
      close(pair[0])
      throw failure("shared memory")
    }
    guard ablate_log_pipe(&pipe) == 0 else { throw failure("pipe") }
    defer { close(pipe[1]) }
    let process = Self.withCStrings(arguments) { arguments in
      Self.withCStrings(Self.environment) { environment in
        ablate_spawn_worker(arguments, [pair[1], shared, code], pipe[1], environment)
      }
    }
    guard process > 0 else {
      close(pipe[0])
      errno = -process
      throw failure(path)
    }
    (self.channel, pid, errors) = (channel, process, pipe[0])
  }

  deinit {
    kill()
    close(errors)
  }

  /// Beside this program, or where `$ABLATE_WORKER` says.
  package static func executable() throws(PluginError) -> String {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let beside = own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex) + "/ablate-worker"
    let path = ProcessInfo.processInfo.environment["ABLATE_WORKER"] ?? String(beside)
    guard access(path, X_OK) == 0 else {
      throw .missing(path: path, remedy: "build it: swift build -c release --product ablate-worker")
    }
    return path
  }

  /// A plugin sees nothing of the host's environment but where its libraries are. Python's sets have one order, and numpy one thread: equal
  /// input gives equal bits.
  private static var environment: [String] {
    let kept = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"].map { ["LD_LIBRARY_PATH=\($0)"] } ?? []
    return ["LANG=C.UTF-8", "SWIFT_BACKTRACE=enable=no", "PYTHONHASHSEED=0", "OPENBLAS_NUM_THREADS=1"] + kept
  }

  private static func withCStrings<Result>(
    _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    var strings = texts.map { strdup($0) } + [nil]
    defer { for string in strings { free(string) } }
    return strings.withUnsafeMutableBufferPointer { $0.baseAddress.map(body) }!
  }

  /// How a worker ended that has closed its line; with what it said last.
  func words() -> String {
    let end =
      reap(patience: 200)
      ?? {
        kill(); return nil
      }()
    return (end.map(\.words) ?? "it closed its line to the host") + lastWords
  }

  /// Ends a worker that had its time.
  func words(hung seconds: Double) -> String {
    kill()
    return ProcessEnd.hung(seconds: seconds).words + lastWords
  }

  func kill() {
    guard ended == nil else { return }
    Glibc.kill(pid, SIGKILL)
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    ended = ProcessEnd(waited: status)
  }

  /// nil if it has not ended after so many milliseconds.
  private func reap(patience: Int) -> ProcessEnd? {
    for _ in 0...patience where ended == nil {
      var status: Int32 = 0
      if waitpid(pid, &status, WNOHANG) == pid { ended = ProcessEnd(waited: status) } else { usleep(1000) }
    }
    return ended
  }

  /// The end of what it wrote to standard error, in one line.
  private var lastWords: String {
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = read(errors, &bytes, bytes.count)
    guard count > 0 else { return "" }
    let lines = String(decoding: bytes[..<count], as: UTF8.self).split(whereSeparator: \.isNewline).suffix(3)
    let text = lines.joined(separator: "; ").filter { !$0.isASCII || $0 >= " " }
    return text.isEmpty ? "" : ": \(text.prefix(400))"
  }
}
