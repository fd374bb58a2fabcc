import CFFI
import CShims
import Diagnostics
import Glibc

/// Runs a plain function on the input of its manifest in a child process, and holds the output against the expected
/// one.
///
/// The child is made by fork and not by spawning `ablate` anew: it needs no executable beside this module, and the
/// memory that it writes to is set up here. In the child only C code runs (Sources/CShims/system.c says why). The view
/// lies between bytes that must not change, and a page that may not be touched is directly behind it or before it.
///
/// A function that reads an argument which its signature lacks gets what the register happens to hold, which may be the right number. So
/// the test is repeated with other garbage there: no numbers, an ordinary number, zero.
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
  /// As f32 and f64: NaN; 3.0 and 32.5; 0.
  private static let poisons: [UInt64] = [~0, 0x4040_4040_4040_4040, 0]

  func prove() throws(PluginError) {
    let parameters = try manifest.resolve(spec.knownAnswer.params)
    let frame = try ArgumentFrame(spec, manifest, parameters)
    for (round, poison) in Self.poisons.enumerated() {
      let view = try GuardedView(spec.knownAnswer.input, manifest, guardIsBehind: round % 2 == 0)
      try frame.setView(view.start, count: view.count, manifest: manifest)
      if let fault = try run(frame, view, poison) ?? compare(view) {
        throw .knownAnswer(path: object.path, symbol: spec.symbol, fault: fault)
      }
    }
  }

  /// Loads, finds, calls. nil when it came back with status 0.
  private func run(
    _ frame: ArgumentFrame, _ view: GuardedView, _ poison: UInt64
  ) throws(PluginError) -> KnownAnswerFault? {
    switch place {
    case .inChild(let seconds): return runInChild(frame, view, poison, seconds)
    case .here:
      let address = unsafeBitCast(try object.load(spec.symbol), to: (@convention(c) () -> Void).self)
      ablate_poison_registers(poison)
      ffi_call(frame.cif, address, view.result, frame.pointers)
      return fault(ofStatusIn: view)
    }
  }

  private func fault(ofStatusIn view: GuardedView) -> KnownAnswerFault? {
    let status = spec.signature.result == .status ? view.result.load(as: Int32.self) : 0
    return status == 0 ? nil : .status(Int64(status))
  }

  private func runInChild(
    _ frame: ArgumentFrame, _ view: GuardedView, _ poison: UInt64, _ timeout: Double
  ) -> KnownAnswerFault? {
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
    call.poison = poison
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
    if let offset = view.nearestByteWrittenBefore { return .wroteBefore(offset: offset) }
    if let offset = view.nearestByteWrittenBehind { return .wroteBehind(offset: offset) }
    for (i, expected) in spec.knownAnswer.expect.enumerated() {
      let got = view.start[i]
      let same = got == expected || abs(got - expected) <= spec.knownAnswer.tolerance
      guard same else { return .wrong(index: i, got: got, expected: expected) }
    }
    return nil
  }

  /// Shared memory in pages: the result; none; the view between canaries, at the end of its pages or at their start; none.
  private final class GuardedView {
    let start: UnsafeMutablePointer<Float>
    let count: Int
    let result: UnsafeMutableRawPointer
    private let mapping: UnsafeMutableRawPointer
    private let bytes: Int
    private let before: UnsafeRawBufferPointer
    private let behind: UnsafeRawBufferPointer

    init(_ input: [Float], _ manifest: PluginManifest, guardIsBehind: Bool) throws(PluginError) {
      let page = Int(sysconf(Int32(_SC_PAGESIZE)))
      let inner = (input.count * 4 + 2 * page - 1) / page * page
      bytes = inner + 3 * page
      let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
      guard let mapped, mapped != MAP_FAILED, mprotect(mapped + page, page, PROT_NONE) == 0,
        mprotect(mapped + 2 * page + inner, page, PROT_NONE) == 0
      else {
        throw .failed(plugin: manifest.id, at: "known-answer test", reason: "no memory for \(input.count) elements")
      }
      (mapping, count, result) = (mapped, input.count, mapped)
      let pages = UnsafeMutableRawBufferPointer(start: mapped + 2 * page, count: inner)
      pages.initializeMemory(as: UInt8.self, repeating: KnownAnswerRun.canary)
      let offset = guardIsBehind ? inner - input.count * 4 : 0
      before = UnsafeRawBufferPointer(rebasing: pages[..<offset])
      behind = UnsafeRawBufferPointer(rebasing: pages[(offset + input.count * 4)...])
      start = (mapped + 2 * page + offset).bindMemory(to: Float.self, capacity: input.count)
      start.initialize(from: input, count: input.count)
    }

    deinit { munmap(mapping, bytes) }

    /// How many bytes from the view the nearest changed canary lies.
    var nearestByteWrittenBefore: Int? { before.lastIndex { $0 != KnownAnswerRun.canary }.map { before.count - $0 } }
    var nearestByteWrittenBehind: Int? { behind.firstIndex { $0 != KnownAnswerRun.canary }.map { $0 + 1 } }
  }
}
