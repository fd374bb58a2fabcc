import COneDNN
import CShims

/// What goes into the products of linear layers. They add up in f32, and everything between them is f32.
package enum ComputeType: String, Sendable, CaseIterable {
  /// The reference; exact for weights in 16 bits.
  case f32
  /// Weights and inputs rounded to bf16: half the memory, and several times the speed where the CPU has such products.
  case bf16

  var format: dnnl_data_type_t { self == .f32 ? dnnl_f32 : dnnl_bf16 }
  package var bytes: Int { self == .f32 ? 4 : 2 }
}

/// The shape of C = A B (+ bias): A [m, k] and C [m, n] dense and row-major.
struct ProductShape: Hashable {
  /// How B lies in memory.
  enum Right: Hashable {
    /// [k, n], row-major.
    case plain
    /// [n, k], row-major: a Hugging Face weight, or keys.
    case transposed
    /// The blocked layout that oneDNN chose for [k, n].
    case packed
  }
  let m: Int
  let n: Int
  let k: Int
  let right: Right
  var bias = false
  /// Of A and B.
  var type = ComputeType.f32
  /// Compiled for one thread: several of them run side by side.
  var sequential = false
}

/// oneDNN divides the work among threads when it compiles: among those of the team, or for one thread alone.
func compiling<T>(forOneThread: Bool, _ body: () -> T) -> T {
  let team = omp_get_max_threads()
  if forOneThread { omp_set_num_threads(1) }
  defer { omp_set_num_threads(team) }
  return body()
}

/// One compiled oneDNN matmul. The number of rows is part of the shape: with run-time rows and packed weights oneDNN falls
/// back to a reference kernel.
final class Product {
  private let primitive: dnnl_primitive_t
  private var a = dnnl_memory_desc_t()
  private var b = dnnl_memory_desc_t()
  private var bias = dnnl_memory_desc_t()
  private var c = dnnl_memory_desc_t()
  private var scratchpad = dnnl_memory_desc_t()
  /// oneDNN's name of the kernel, for example "brg:avx512_core".
  let kernel: String
  /// Memory that it needs while it runs.
  let scratchBytes: Int

  init(_ shape: ProductShape, on engine: dnnl_engine_t) throws(TensorError) {
    let descriptor = try Product.describe(shape, on: engine)
    a = descriptor.a
    b = descriptor.b
    bias = descriptor.bias
    c = descriptor.c
    if let wanted = dnnl_primitive_desc_query_md(descriptor.primitive, dnnl_query_scratchpad_md, 0) {
      scratchpad = wanted.pointee
    }
    scratchBytes = Int(dnnl_memory_desc_get_size(&scratchpad))
    defer { dnnl_primitive_desc_destroy(descriptor.primitive) }
    var info: UnsafePointer<CChar>?
    dnnl_primitive_desc_query(descriptor.primitive, dnnl_query_impl_info_str, 0, &info)
    kernel = info.map { String(cString: $0) } ?? "unknown"
    var primitive: dnnl_primitive_t?
    let status = compiling(forOneThread: shape.sequential) { dnnl_primitive_create(&primitive, descriptor.primitive) }
    try check(status, "compile \(shape)")
    guard let primitive else { throw .kernel(operation: "compile \(shape)", status: -1) }
    self.primitive = primitive
  }

  deinit { dnnl_primitive_destroy(primitive) }

  func run(
    _ engine: Engine, a: UnsafeRawPointer, b: UnsafeRawPointer, bias: ConstFloats?, c: Floats, scratch: Floats? = nil
  ) throws(TensorError) {
    var memories: [dnnl_memory_t?] = []
    var arguments: [dnnl_exec_arg_t] = []
    defer { memories.forEach { dnnl_memory_destroy($0) } }
    func add(_ slot: Int32, _ desc: dnnl_memory_desc_t, _ data: UnsafeRawPointer) throws(TensorError) {
      var memory: dnnl_memory_t?
      try check(
        withUnsafePointer(to: desc) {
          dnnl_memory_create(&memory, $0, engine.engine, UnsafeMutableRawPointer(mutating: data))
        }, "bind memory")
      memories.append(memory)
      arguments.append(dnnl_exec_arg_t(arg: slot, memory: memory))
    }
    try add(DNNL_ARG_SRC, self.a, a)
    try add(DNNL_ARG_WEIGHTS, self.b, b)
    if let bias { try add(DNNL_ARG_BIAS, self.bias, bias) }
    try add(DNNL_ARG_DST, self.c, c)
    if scratchBytes > 0 { try add(DNNL_ARG_SCRATCHPAD, scratchpad, scratch ?? engine.scratch(bytes: scratchBytes)) }
    try check(
      dnnl_primitive_execute(primitive, engine.stream, Int32(arguments.count), arguments), "run a product")
    try check(dnnl_stream_wait(engine.stream), "wait for a product")
  }

  struct Descriptor {
    var primitive: dnnl_primitive_desc_t?
    var a = dnnl_memory_desc_t()
    var b = dnnl_memory_desc_t()
    var bias = dnnl_memory_desc_t()
    var c = dnnl_memory_desc_t()
  }

  /// The packed layout does not depend on m: it is the one that oneDNN chooses for 256 rows, so that one packing serves all.
  static func packedLayout(
    n: Int, k: Int, type: ComputeType, on engine: dnnl_engine_t
  ) throws(TensorError) -> dnnl_memory_desc_t {
    var any = dnnl_memory_desc_t()
    try check(
      dnnl_memory_desc_init_by_tag(&any, 2, [Int64(k), Int64(n)], type.format, dnnl_format_tag_any), "describe")
    let shape = ProductShape(m: 256, n: n, k: k, right: .packed, type: type)
    let descriptor = try describe(shape, weights: any, on: engine)
    defer { dnnl_primitive_desc_destroy(descriptor.primitive) }
    guard let chosen = dnnl_primitive_desc_query_md(descriptor.primitive, dnnl_query_weights_md, 0) else {
      throw .kernel(operation: "choose a weight layout", status: -1)
    }
    return chosen.pointee
  }

  private static func describe(_ shape: ProductShape, on engine: dnnl_engine_t) throws(TensorError) -> Descriptor {
    var b = dnnl_memory_desc_t()
    let (n, k) = (Int64(shape.n), Int64(shape.k))
    switch shape.right {
    case .packed: b = try packedLayout(n: shape.n, k: shape.k, type: shape.type, on: engine)
    case .plain: try check(dnnl_memory_desc_init_by_strides(&b, 2, [k, n], dnnl_f32, [n, 1]), "describe")
    case .transposed: try check(dnnl_memory_desc_init_by_strides(&b, 2, [k, n], dnnl_f32, [1, k]), "describe")
    }
    return try describe(shape, weights: b, on: engine)
  }

  private static func describe(
    _ shape: ProductShape, weights: dnnl_memory_desc_t, on engine: dnnl_engine_t
  ) throws(TensorError) -> Descriptor {
    var d = Descriptor()
    d.b = weights
    let (m, n, k) = (Int64(shape.m), Int64(shape.n), Int64(shape.k))
    func dense(
      _ desc: inout dnnl_memory_desc_t, _ rows: Int64, _ columns: Int64, _ format: dnnl_data_type_t
    ) throws(TensorError) {
      try check(dnnl_memory_desc_init_by_tag(&desc, 2, [rows, columns], format, dnnl_ab), "describe")
    }
    try dense(&d.a, m, k, shape.type.format)
    try dense(&d.c, m, n, dnnl_f32)
    try dense(&d.bias, 1, n, dnnl_f32)
    var operation = dnnl_matmul_desc_t()
    let status =
      shape.bias
      ? dnnl_matmul_desc_init(&operation, &d.a, &d.b, &d.bias, &d.c)
      : dnnl_matmul_desc_init(&operation, &d.a, &d.b, nil, &d.c)
    try check(status, "describe \(shape)")
    // The library's own scratchpad belongs to the thread that compiled a product, and is too small or gone for another.
    var attributes: dnnl_primitive_attr_t?
    defer { dnnl_primitive_attr_destroy(attributes) }
    try check(dnnl_primitive_attr_create(&attributes), "describe \(shape)")
    try check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "describe \(shape)")
    let planned = compiling(forOneThread: shape.sequential) {
      dnnl_primitive_desc_create(&d.primitive, &operation, attributes, engine, nil)
    }
    try check(planned, "plan \(shape)")
    return d
  }
}

/// C = A B on the calling thread alone, so that the threads of the team can each take another head. a [m, k], c [m, n]; b [k, n], or
/// [n, k] if transposed; all dense.
package struct ThreadProduct {
  private let product: Product
  private let engine: Engine

  fileprivate init(_ product: Product, _ engine: Engine) { (self.product, self.engine) = (product, engine) }

  package func callAsFunction(_ a: ConstFloats, _ b: ConstFloats, into c: Floats) throws(TensorError) {
    try product.run(engine, a: a, b: b, bias: nil, c: c, scratch: engine.scratch(thread: engineThread))
  }
}

extension Engine {
  /// Compiles a product for one thread and makes room for it on every thread. Not to be called from within `parallelFor`.
  package func threadProduct(m: Int, n: Int, k: Int, transposed: Bool) throws(TensorError) -> ThreadProduct {
    let shape = ProductShape(m: m, n: n, k: k, right: transposed ? .transposed : .plain, sequential: true)
    let product = try product(shape)
    reserveThreadScratch(bytes: product.scratchBytes)
    return ThreadProduct(product, self)
  }
}
