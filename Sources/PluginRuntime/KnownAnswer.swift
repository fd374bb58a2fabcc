import CFFI
import CShims
import Diagnostics
import Glibc

/// Runs a plain function on the input of its manifest in a child process, and holds the output against the expected
/// one.
///
/// The child is made by fork and not by spawning `ablate` anew: it needs no executable beside this module, and the
/// memory that it writes to is set up here. In the child only C code runs (Sources/CShims/system.c says why). The view
/// ends at a page that may not be touched, and lies behind bytes that must not change.
struct KnownAnswerRun {
  let manifest: PluginManifest
  let spec: PlainSpec
  let object: SharedObject
  let place: Place

  enum Place {
    /// After so many seconds the child is killed.
    case inChild(seconds: Double)
    /// This process is a worker, made to be lost.
    case here
  }

  private static let canary: UInt8 = 0xA5

  func prove() throws(PluginError) {
    let parameters = try manifest.resolve(spec.knownAnswer.params)
    let frame = try ArgumentFrame(spec, manifest, parameters)
    let view = try GuardedView(spec.knownAnswer.input, manifest)
    try frame.setView(view.start, count: view.count, manifest: manifest)
    if let fault = try run(frame, view) ?? compare(view) {
      throw .knownAnswer(path: object.path, symbol: spec.symbol, fault: fault)
    }
  }

  /// Loads, finds, calls. nil when it came back with status 0.
  private func run(_ frame: ArgumentFrame, _ view: GuardedView) throws(PluginError) -> KnownAnswerFault? {
    switch place {
    case .inChild(let seconds): return runInChild(frame, view, seconds)
    case .here:
      let address = unsafeBitCast(try object.load(spec.symbol), to: (@convention(c) () -> Void).self)
      ffi_call(frame.cif, address, view.result, frame.pointers)
      return fault(ofStatusIn: view)
    }
  }

  private func fault(ofStatusIn view: GuardedView) -> KnownAnswerFault? {
    let status = spec.signature.result == .status ? view.result.load(as: Int32.self) : 0
    return status == 0 ? nil : .status(Int64(status))
  }

  private func runInChild(_ frame: ArgumentFrame, _ view: GuardedView, _ timeout: Double) -> KnownAnswerFault? {
    let invoke:
      @convention(c) (
        UnsafeMutablePointer<ffi_cif>?, (@convention(c) () -> Void)?, UnsafeMutableRawPointer?,
        UnsafeMutablePointer<UnsafeMutableRawPointer?>?
      ) -> Void = ffi_call
    var call = ablate_child_call()
    call.invoke = unsafeBitCast(invoke, to: type(of: call.invoke))
    call.cif = UnsafeMutableRawPointer(frame.cif)
    call.result = view.result
    call.arguments = frame.pointers
    call.timeout_ms = UInt32(max(0, timeout) * 1000)
    let outcome = object.loaderPath.withCString { library in
      spec.symbol.withCString { symbol in
        (call.library, call.symbol) = (library, symbol)
        return holdingLoader { ablate_call_in_child(&call) }
      }
    }
    switch outcome {
    case ABLATE_CHILD_RETURNED: return fault(ofStatusIn: view)
    case ABLATE_CHILD_SIGNAL: return .crashed(signal: call.value)
    case ABLATE_CHILD_EXITED: return .left(status: call.value)
    case ABLATE_CHILD_TIMED_OUT: return .hung(seconds: timeout)
    case ABLATE_CHILD_LOAD_FAILED: return .notRun("the child could not load the library")
    default: return .notRun("no child process: \(String(cString: strerror(call.value)))")
    }
  }

  private func compare(_ view: GuardedView) -> KnownAnswerFault? {
    if let offset = view.firstByteWrittenBefore { return .wroteBefore(offset: offset) }
    for (i, expected) in spec.knownAnswer.expect.enumerated() {
      let got = view.start[i]
      let same = got == expected || abs(got - expected) <= spec.knownAnswer.tolerance
      guard same else { return .wrong(index: i, got: got, expected: expected) }
    }
    return nil
  }

  /// Shared memory: a result buffer, canaries, and the view up against a page without access.
  private final class GuardedView {
    let start: UnsafeMutablePointer<Float>
    let count: Int
    let result: UnsafeMutableRawPointer
    private let mapping: UnsafeMutableRawPointer
    private let bytes: Int

    init(_ input: [Float], _ manifest: PluginManifest) throws(PluginError) {
      let page = Int(sysconf(Int32(_SC_PAGESIZE)))
      let pages = (input.count * 4 + ArgumentFrame.resultBytes + page) / page + 1
      bytes = (pages + 1) * page
      let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
      guard let mapped, mapped != MAP_FAILED, mprotect(mapped + pages * page, page, PROT_NONE) == 0 else {
        throw .failed(plugin: manifest.id, at: "known-answer test", reason: "no memory for \(input.count) elements")
      }
      (mapping, count, result) = (mapped, input.count, mapped)
      let view = mapped + pages * page - input.count * 4
      memset(
        mapped + ArgumentFrame.resultBytes, Int32(KnownAnswerRun.canary), view - mapped - ArgumentFrame.resultBytes)
      start = view.bindMemory(to: Float.self, capacity: input.count)
      start.initialize(from: input, count: input.count)
    }

    deinit { munmap(mapping, bytes) }

    /// How far before the view the nearest changed canary lies.
    var firstByteWrittenBefore: Int? {
      let view = UnsafeMutableRawPointer(start)
      let length = view - mapping - ArgumentFrame.resultBytes
      return (1...length).first { (view - $0).load(as: UInt8.self) != KnownAnswerRun.canary }
    }
  }
}
