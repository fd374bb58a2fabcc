import Glibc
import PluginABI

/// Memory that is lent to a plugin for a call, or for as long as this value is kept: freed all at once.
package final class ForeignMemory {
  private var blocks: [UnsafeMutableRawPointer] = []

  package init() {}

  deinit { for block in blocks { block.deallocate() } }

  package func string(_ text: String) -> UnsafePointer<CChar> {
    let utf8 = Array(text.utf8)
    let block = allocate(utf8.count + 1)
    block.copyMemory(from: utf8, byteCount: utf8.count)
    block.storeBytes(of: 0, toByteOffset: utf8.count, as: UInt8.self)
    return UnsafePointer(block.assumingMemoryBound(to: CChar.self))
  }

  package func string(_ text: String?) -> UnsafePointer<CChar>? { text.map { string($0) } }

  /// nil for an empty list, as the header's counts allow.
  package func array<T: BitwiseCopyable>(_ values: [T]) -> UnsafePointer<T>? {
    guard !values.isEmpty else { return nil }
    let block = allocate(values.count * MemoryLayout<T>.stride)
    values.withUnsafeBytes { block.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(block), byteCount: $0.count) }
    return UnsafePointer(block.assumingMemoryBound(to: T.self))
  }

  /// Structs of the header hold pointers, which are no BitwiseCopyable promise that Swift could check.
  package func structs<T>(_ values: [T]) -> UnsafePointer<T>? {
    guard !values.isEmpty else { return nil }
    let block = allocate(values.count * MemoryLayout<T>.stride).bindMemory(to: T.self, capacity: values.count)
    block.initialize(from: values, count: values.count)
    return UnsafePointer(block)
  }

  package func tensor(_ tensor: TensorValue) -> UnsafePointer<ablate_tensor>? {
    view(UnsafeMutablePointer(mutating: array(tensor.values)), shape: tensor.shape, access: ABLATE_READ)
  }

  /// Dense f32 memory of the host's, which is not copied.
  func view(
    _ base: UnsafeMutablePointer<Float>?, shape: [Int], access: UInt32
  ) -> UnsafePointer<ablate_tensor>? {
    var view = ablate_tensor()
    var strides = shape.map { _ in Int64(1) }
    for d in strides.indices.dropLast().reversed() { strides[d] = strides[d + 1] * Int64(shape[d + 1]) }
    view.data = UnsafeMutableRawPointer(base)
    view.device_type = 1
    view.ndim = Int32(shape.count)
    (view.dtype_code, view.dtype_bits, view.dtype_lanes) = (2, 32, 1)
    view.shape = array(shape.map(Int64.init))
    view.strides = array(strides)
    view.size_bytes = UInt64(shape.reduce(1, *) * 4)
    view.access = access
    return structs([view])
  }

  private func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
    let block = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 8), alignment: 64)
    blocks.append(block)
    return block
  }
}

extension ForeignMemory {
  func values(_ parameters: [BoundParameter]) -> [ablate_value] {
    parameters.map { parameter in
      var value = ablate_value()
      value.struct_size = ABI.size(of: ablate_value.self)
      value.type = parameter.type.rawValue
      value.id = string(parameter.id)
      switch parameter.value {
      case .bool(let flag): value.i = flag ? 1 : 0
      case .integer(let number): value.i = number
      case .number(let number): value.f = number
      case .string(let text), .selector(let text): value.s = string(text)
      case .integers(let all): (value.iv, value.n) = (array(all), UInt64(all.count))
      case .strings(let all): (value.sv, value.n) = (structs(all.map { Optional(string($0)) }), UInt64(all.count))
      case .tensor(let tensor): value.tensor = self.tensor(tensor)
      }
      return value
    }
  }

  func columns(_ columns: [Column]) -> [ablate_column] {
    columns.map { column in
      var foreign = ablate_column()
      foreign.struct_size = ABI.size(of: ablate_column.self)
      foreign.name = string(column.name)
      switch column.values {
      case .bools(let all):
        foreign.type = ABLATE_T_BOOL
        foreign.data = UnsafeRawPointer(array(all.map { $0 ? Int64(1) : 0 }))
      case .integers(let all):
        foreign.type = ABLATE_T_I64
        foreign.data = UnsafeRawPointer(array(all))
      case .numbers(let all):
        foreign.type = ABLATE_T_F64
        foreign.data = UnsafeRawPointer(array(all))
      case .strings(let all):
        foreign.type = ABLATE_T_STR
        foreign.data = UnsafeRawPointer(array(all.flatMap { Array($0.utf8) }))
        foreign.offsets = array(all.reduce(into: [Int32(0)]) { $0.append(($0.last ?? 0) + Int32($1.utf8.count)) })
      }
      foreign.valid = column.valid.flatMap { array($0.map { $0 ? UInt8(1) : 0 }) }
      return foreign
    }
  }
}
