import COneDNN
import Diagnostics

/// What oneDNN refused to do.
package enum TensorError: DiagnosedError {
  case kernel(operation: String, status: Int)

  package var diagnosis: Diagnosis {
    switch self {
    case .kernel(let operation, let status):
      Diagnosis(
        "oneDNN could not do \(operation) (status \(status))", at: "matrix product",
        remedy: "check memory; if it persists, report the CPU and libdnnl's version", exit: .failure)
    }
  }
}

/// oneDNN's CPU engine with a cache of compiled matrix products. Belongs to one thread, the engine thread.
package final class Engine {
  let engine: dnnl_engine_t
  let stream: dnnl_stream_t
  private var products: [ProductShape: Product] = [:]
  private var scratchpad = FloatStorage(zeros: 0)
  /// One for each thread that runs products of its own.
  private var threadScratchpads: [FloatStorage] = []
  /// The packed weight that is streamed now, and what threads widen weights in.
  private var streamedWeight = FloatStorage(zeros: 0)
  private var stagings: [FloatStorage] = []
  private var narrow = FloatStorage(zeros: 0)

  package init() throws(TensorError) {
    var engine: dnnl_engine_t?
    var stream: dnnl_stream_t?
    try check(dnnl_engine_create(&engine, dnnl_cpu, 0), "create the CPU engine")
    try check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue), "create a stream")
    guard let engine, let stream else { throw .kernel(operation: "create the CPU engine", status: -1) }
    self.engine = engine
    self.stream = stream
  }

  deinit {
    products.removeAll()
    dnnl_stream_destroy(stream)
    dnnl_engine_destroy(engine)
  }

  /// The compiled product of this shape. At most 4,096 are kept; then all are dropped and built anew.
  func product(_ shape: ProductShape) throws(TensorError) -> Product {
    if let product = products[shape] { return product }
    if products.count >= 4096 { products.removeAll() }
    let product = try Product(shape, on: engine)
    products[shape] = product
    return product
  }

  /// Memory that a product needs while it runs; the next one may have the same.
  func scratch(bytes: Int) -> Floats {
    if scratchpad.count * 4 < bytes { scratchpad = FloatStorage(zeros: (bytes + 3) / 4) }
    return scratchpad.base
  }

  /// Makes room for every thread of the team, before they start.
  func reserveThreadScratch(bytes: Int) {
    let count = (bytes + 3) / 4
    if threadScratchpads.count < engineThreads || (threadScratchpads.first?.count ?? 0) < count {
      let largest = max(count, threadScratchpads.first?.count ?? 0)
      let threads = max(engineThreads, threadScratchpads.count)
      threadScratchpads = (0..<threads).map { _ in FloatStorage(zeros: largest) }
    }
  }

  func scratch(thread: Int) -> Floats { threadScratchpads[thread].base }

  /// Memory for `count` inputs of a product, rounded to bf16.
  func narrowed(count: Int) -> UnsafeMutablePointer<UInt16> {
    if narrow.count * 2 < count { narrow = FloatStorage(zeros: (count + 1) / 2) }
    return UnsafeMutableRawPointer(narrow.base).assumingMemoryBound(to: UInt16.self)
  }

  /// Memory for one packed weight; the next one takes its place.
  func streamed(count: Int) -> Floats {
    if streamedWeight.count < count { streamedWeight = FloatStorage(zeros: count) }
    return streamedWeight.base
  }

  /// Memory for `count` entries for each thread of the team, or for the calling one.
  func staging(count: Int, forEachThread: Bool) -> [FloatStorage] {
    let threads = max(forEachThread ? engineThreads : 1, stagings.count)
    if stagings.count < threads || stagings[0].count < count {
      let largest = max(count, stagings.first?.count ?? 0)
      stagings = (0..<threads).map { _ in FloatStorage(zeros: largest) }
    }
    return stagings
  }

  /// The kernels in use, for provenance: "brg:avx512_core" and the shapes that chose it.
  package var kernels: [String: Int] {
    products.values.reduce(into: [:]) { $0[$1.kernel, default: 0] += 1 }
  }

  /// oneDNN's version and the instruction set that it uses.
  package static var provenance: (version: String, isa: String) {
    let version = dnnl_version()?.pointee
    let text = version.map { "\($0.major).\($0.minor).\($0.patch)" } ?? "unknown"
    return (text, isaName(dnnl_get_effective_cpu_isa()))
  }
}

private func isaName(_ isa: dnnl_cpu_isa_t) -> String {
  switch isa {
  case dnnl_cpu_isa_sse41: "sse41"
  case dnnl_cpu_isa_avx: "avx"
  case dnnl_cpu_isa_avx2: "avx2"
  case dnnl_cpu_isa_avx512_core: "avx512_core"
  case dnnl_cpu_isa_avx512_core_vnni: "avx512_core_vnni"
  case dnnl_cpu_isa_avx512_core_bf16: "avx512_core_bf16"
  case dnnl_cpu_isa_avx512_core_amx: "avx512_core_amx"
  default: "isa 0x" + String(isa.rawValue, radix: 16)
  }
}

func check(_ status: dnnl_status_t, _ operation: @autoclosure () -> String) throws(TensorError) {
  if status != dnnl_success { throw .kernel(operation: operation(), status: Int(status.rawValue)) }
}
