import Foundation
import Tensors

/// One vector for each word of the vocabulary, the unembedding or the input embeddings, in blocks, so that a lens streams over it.
///
/// Belongs to the engine thread.
final class VocabularyMatrix {
  static let blockSize = 4096
  let vocabulary: Int
  private let width: Int
  private let weight: StoredWeight
  private let type: ComputeType
  private let blocks: [(first: Int, linear: Linear)]
  var parts: [Linear] { blocks.map(\.linear) }

  /// - Parameter weight: [vocabulary, width].
  init(
    _ weight: StoredWeight, vocabulary: Int, width: Int, type: ComputeType, residency: Residency, on engine: Engine
  ) throws(TensorError) {
    (self.vocabulary, self.width, self.weight, self.type) = (vocabulary, width, weight, type)
    var blocks: [(first: Int, linear: Linear)] = []
    for first in stride(from: 0, to: vocabulary, by: Self.blockSize) {
      let count = min(Self.blockSize, vocabulary - first)
      let linear = try Linear(
        weight.part((first * width)..<((first + count) * width)), outputs: count, inputs: width, bias: nil,
        type: type, residency: residency, on: engine)
      blocks.append((first, linear))
    }
    self.blocks = blocks
  }

  /// 1 / length of each word's vector; 0 of a vector that is all zeros, which has no direction.
  private(set) lazy var inverseLengths: [Float] = (0..<vocabulary).map { id in
    let row = vector(id)
    return inverseLength(row.base, row.count)
  }

  /// [width]
  private func vector(_ id: Int) -> FloatStorage {
    let row = FloatStorage(zeros: width)
    weight.widen((id * width)..<((id + 1) * width), into: row.base)
    return row
  }

  /// The vectors of these ids alone.
  func linear(of ids: [Int], on engine: Engine) throws(TensorError) -> Linear {
    let rows = Tensor(zeros: [ids.count, width])
    for (n, id) in ids.enumerated() { weight.widen((id * width)..<((id + 1) * width), into: rows.base + n * width) }
    return try Linear(rows.stored, outputs: ids.count, inputs: width, bias: nil, type: type, on: engine)
  }

  /// [width, vocabulary], in f32: from a gradient at the logits to one at what they are made of.
  func transposed(on engine: Engine) throws(TensorError) -> Linear {
    let columns = Tensor(zeros: [width, vocabulary])
    for id in 0..<vocabulary {
      let row = vector(id)
      for i in 0..<width { columns.base[i * vocabulary + id] = row.base[i] }
    }
    return try Linear(columns.stored, outputs: width, inputs: vocabulary, bias: nil, on: engine)
  }

  /// x [rows, width] -> logits [rows, vocabulary]
  func logits(_ x: ConstFloats, rows: Int) throws(TensorError) -> Tensor {
    let all = Tensor(zeros: [rows, vocabulary])
    try forEachBlock(x, rows: rows) { first, block, count in
      for row in 0..<rows {
        (all.base + row * vocabulary + first).update(from: block + row * count, count: count)
      }
    }
    return all
  }

  /// Calls `body(first id, logits [rows, count], count)` for one block of the vocabulary after the other. The body may write them.
  func forEachBlock(_ x: ConstFloats, rows: Int, _ body: (Int, Floats, Int) -> Void) throws(TensorError) {
    let block = FloatStorage(zeros: rows * min(vocabulary, Self.blockSize))
    for (first, linear) in blocks {
      try linear(x, rows: rows, into: block.base)
      body(first, block.base, linear.outputs)
    }
  }
}

/// 1 / |x|; 0 for zeros.
func inverseLength(_ x: ConstFloats, _ count: Int) -> Float {
  let square = UnsafeBufferPointer(start: x, count: count).reduce(0.0) { $0 + Double($1) * Double($1) }
  return square > 0 ? Float(1 / square.squareRoot()) : 0
}
