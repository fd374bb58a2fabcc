import COneDNN

/// Brings a weight [outputs, inputs] into the blocked layout that oneDNN wants, in one pass over it: each thread widens the outputs of one
/// block in its cache and reorders them to where they belong.
final class Packing {
  /// Bytes of the packed weight.
  let bytes: Int
  private let type: ComputeType
  private let outputs: Int
  private let inputs: Int
  /// Outputs that lie together, and how far their blocks are apart. One block of all outputs where the layout is another.
  private let block: Int
  private let stride: Int
  private let whole: Reorder
  /// The last block, where it is not full.
  private let rest: Reorder?

  init(outputs: Int, inputs: Int, type: ComputeType, on engine: Engine) throws(TensorError) {
    (self.outputs, self.inputs, self.type) = (outputs, inputs, type)
    var layout = try Product.packedLayout(n: outputs, k: inputs, type: type, on: engine.engine)
    bytes = Int(dnnl_memory_desc_get_size(&layout))
    (block, stride) = layout.outputBlock ?? (outputs, 0)
    whole = try Reorder(to: layout.block(of: min(block, outputs)), sequential: block < outputs, on: engine)
    let last = outputs % block
    rest = last == 0 || block >= outputs ? nil : try Reorder(to: layout.block(of: last), sequential: true, on: engine)
  }

  /// Packs `weight` into `target`, `bytes` bytes.
  func pack(_ weight: StoredWeight, into target: UnsafeMutableRawPointer, _ engine: Engine) throws(TensorError) {
    let blocks = (outputs + block - 1) / block
    let staged = engine.staging(count: block * inputs, forEachThread: blocks > 1)
    try parallelTry(blocks) { range throws(TensorError) in
      let plain = staged[engineThread].base
      for n in range {
        let first = n * block
        let own = min(block, outputs - first)
        weight.widen((first * inputs)..<((first + own) * inputs), into: plain)
        let reorder = own == block ? whole : rest ?? whole
        try reorder.run(engine, plain, to: target + n * stride * type.bytes)
      }
    }
  }
}

/// A compiled copy of [outputs, inputs] f32 into a blocked layout, rounded where that is bf16.
private final class Reorder {
  private let primitive: dnnl_primitive_t
  private let source: dnnl_memory_desc_t
  private let target: dnnl_memory_desc_t
  private let scratchpad: dnnl_memory_desc_t

  init(to layout: dnnl_memory_desc_t, sequential: Bool, on engine: Engine) throws(TensorError) {
    var (plain, packed) = (dnnl_memory_desc_t(), layout)
    let (inputs, outputs) = (layout.dims.0, layout.dims.1)
    try check(
      dnnl_memory_desc_init_by_strides(&plain, 2, [inputs, outputs], dnnl_f32, [1, inputs]), "describe a weight")
    var attributes: dnnl_primitive_attr_t?
    var descriptor: dnnl_primitive_desc_t?
    var primitive: dnnl_primitive_t?
    defer {
      dnnl_primitive_desc_destroy(descriptor)
      dnnl_primitive_attr_destroy(attributes)
    }
    try check(dnnl_primitive_attr_create(&attributes), "plan the packing")
    try check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "plan the packing")
    let status = compiling(forOneThread: sequential) { [on = engine.engine] in
      let status = dnnl_reorder_primitive_desc_create(&descriptor, &plain, on, &packed, on, attributes)
      return status == dnnl_success ? dnnl_primitive_create(&primitive, descriptor) : status
    }
    try check(status, "compile the packing")
    guard let primitive else { throw .kernel(operation: "compile the packing", status: -1) }
    var scratchpad = dnnl_memory_desc_t()
    if let wanted = dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0) {
      scratchpad = wanted.pointee
    }
    engine.reserveThreadScratch(bytes: Int(dnnl_memory_desc_get_size(&scratchpad)))
    (self.primitive, source, target, self.scratchpad) = (primitive, plain, packed, scratchpad)
  }

  deinit { dnnl_primitive_destroy(primitive) }

  func run(_ engine: Engine, _ data: Floats, to packed: UnsafeMutableRawPointer) throws(TensorError) {
    let scratch = engine.scratch(thread: engineThread)
    let memories = [
      try bound(source, data, engine), try bound(target, packed, engine), try bound(scratchpad, scratch, engine),
    ]
    defer { memories.forEach { dnnl_memory_destroy($0) } }
    let slots = [DNNL_ARG_FROM, DNNL_ARG_TO, DNNL_ARG_SCRATCHPAD]
    let arguments = zip(slots, memories).map { dnnl_exec_arg_t(arg: $0, memory: $1) }
    try check(dnnl_primitive_execute(primitive, engine.stream, 3, arguments), "pack a weight")
  }

  private func bound(
    _ desc: dnnl_memory_desc_t, _ data: UnsafeMutableRawPointer, _ engine: Engine
  ) throws(TensorError) -> dnnl_memory_t? {
    var memory: dnnl_memory_t?
    try check(withUnsafePointer(to: desc) { dnnl_memory_create(&memory, $0, engine.engine, data) }, "bind memory")
    return memory
  }
}

extension dnnl_memory_desc_t {
  /// For a layout of [inputs, outputs] in which blocks of outputs lie one behind the other: outputs of a block, and entries from one to
  /// the next.
  fileprivate var outputBlock: (outputs: Int, stride: Int)? {
    let blocking = format_desc.blocking
    let levels = 0..<Int(blocking.inner_nblks)
    let blocks = withUnsafeBytes(of: blocking.inner_blks) { Array($0.bindMemory(to: dnnl_dim_t.self)) }
    let axes = withUnsafeBytes(of: blocking.inner_idxs) { Array($0.bindMemory(to: dnnl_dim_t.self)) }
    let size = levels.reduce(1) { axes[$1] == 1 ? $0 * Int(blocks[$1]) : $0 }
    let stride = Int(blocking.strides.1)
    guard size > 1, offset0 == 0, stride == Int(padded_dims.0) * size else { return nil }
    return (size, stride)
  }

  /// The layout of one such block that holds `outputs` outputs.
  fileprivate func block(of outputs: Int) -> dnnl_memory_desc_t {
    guard let whole = outputBlock else { return self }
    var part = self
    (part.dims.1, part.padded_dims.1) = (dnnl_dim_t(outputs), dnnl_dim_t(whole.outputs))
    return part
  }
}
