import Diagnostics
import Foundation
import Synchronization

/// The Python that plugins in Python run in: `$ABLATE_PYTHON`, else the path's `python3`. It is asked once what it is and where its modules
/// lie, before any plugin's code runs.
struct PythonInterpreter: Sendable {
  let executable: String
  /// What it must read to work: its modules, numpy, itself.
  let readable: [String]

  /// No user's own modules, no compiled files left behind.
  static let options = ["-s", "-B", "-c"]

  private static let question = """
    import json, os, sys, sysconfig
    sys.path[:] = [path for path in sys.path if path]
    try:
        import numpy
        missing = None
    except ImportError as error:
        missing = str(error)
    paths = sys.path + [os.path.realpath(sys.executable), sysconfig.get_config_var("LIBDIR"), sys.prefix + "/pyvenv.cfg"]
    print(json.dumps({"executable": sys.executable, "missing": missing, "paths": [p for p in paths if p and os.path.exists(p)]}))
    """

  private static let known = Mutex<[String: PythonInterpreter]>([:])

  static func find() throws(PluginError) -> PythonInterpreter {
    let environment = ProcessInfo.processInfo.environment
    let asked = environment["ABLATE_PYTHON"] ?? "python3"
    let folders = environment["PATH"]?.split(separator: ":").map(String.init) ?? []
    let candidates = asked.contains("/") ? [asked] : folders.map { "\($0)/\(asked)" }
    guard let path = candidates.first(where: { access($0, X_OK) == 0 }) else {
      throw .interpreter(
        path: asked, problem: "there is no such program",
        remedy: "apt-get install python3 python3-numpy, or name one in $ABLATE_PYTHON")
    }
    return try known.withLock { known throws(PluginError) in
      if let interpreter = known[path] { return interpreter }
      let interpreter = try PythonInterpreter(asking: path)
      known[path] = interpreter
      return interpreter
    }
  }

  private init(asking path: String) throws(PluginError) {
    let answer = JSON(try? JSONSerialization.jsonObject(with: Self.run(path)))
    guard let executable = answer?["executable"]?.text, let paths = answer?["paths"]?.elements else {
      throw .interpreter(
        path: path, problem: "is no Python 3 that works", remedy: "name another one in $ABLATE_PYTHON")
    }
    if let missing = answer?["missing"]?.text {
      throw .interpreter(
        path: path, problem: "has no numpy: \(missing)",
        remedy: "apt-get install python3-numpy, or name another Python in $ABLATE_PYTHON")
    }
    (self.executable, readable) = (executable, paths.compactMap(\.text))
  }

  private static func run(_ path: String) -> Data {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = options + [question]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return Data() }
    let answer = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return answer
  }
}
