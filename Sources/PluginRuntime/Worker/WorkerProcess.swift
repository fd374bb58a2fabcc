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

  /// - Parameter library: a descriptor of the checked bytes.
  init(library: Int32) throws(PluginError) {
    let path = try Self.executable()
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
    let process = Self.withEnvironment { environment in
      ablate_spawn_worker(path, [pair[1], shared, library], pipe[1], environment)
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

  /// A plugin sees nothing of the host's environment but where its libraries are.
  private static func withEnvironment<Result>(
    _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    let kept = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"].map { ["LD_LIBRARY_PATH=\($0)"] } ?? []
    var strings = (["LANG=C.UTF-8", "SWIFT_BACKTRACE=enable=no"] + kept).map { strdup($0) } + [nil]
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
