import Checkpoints
import Foundation
import Models
import Tensors
import TestSupport
import Testing

/// Where the packed weights live changes no bit.
@Suite(.serialized) struct WeightPlacementTests {
  @Test(arguments: ["f16", "bf16", "gqa", "tied"])
  func `weights streamed from the checkpoint give the bits of resident ones`(name: String) throws {
    let parity = try ParityCase(name, "clean")
    let outputs = try [WeightPlacement.resident, .streamed].map { (placement: WeightPlacement) -> LaneOutput in
      let model = try parity.model(weights: placement)
      #expect(model.residency.rawValue == placement.rawValue)
      let input = try parity.input(model, newTokens: 4)
      let points = try ["text.*.resid_post", "vision.*.resid_post", "projector.out"].flatMap {
        try model.hooks.match($0)
      }
      let program = Program(capturing: points, input)
      return try model.run(input, [LaneRequest(program, outputRows: Array(input.ids.indices))])[0]
    }
    #expect(LaneTests.differences(outputs[0], outputs[1]) == [])
    #expect(outputs[0].generated.count == 4 && outputs[0].generated == outputs[1].generated)
  }

  @Test(
    .enabled(if: Engine.provenance.isa.hasPrefix("avx512"), "bf16 products need AVX-512"),
    arguments: ["mha", "gqa", "f16"])
  func `bf16 products round, a little, and give the same bits streamed`(name: String) throws {
    let parity = try ParityCase(name, "clean")
    func logits(_ dtype: ComputeType, _ placement: WeightPlacement) throws -> Tensor {
      let model = try parity.model(weights: placement, dtype: dtype)
      let input = try parity.input(model)
      return try model.run(input, [LaneRequest(Program(), outputRows: Array(input.ids.indices))])[0].logits
    }
    let (exact, rounded) = (try logits(.f32, .resident), try logits(.bf16, .resident))
    let distance = difference(rounded, exact)
    #expect(distance > 1e-5 && distance < 0.1, "\(distance)")
    #expect(bits(try logits(.bf16, .streamed)) == bits(rounded))
  }

  @Test func `a small model is resident by itself`() throws {
    #expect(try ParityCase("mha", "clean").model().residency == .resident)
    #expect(availableMemory() > 100 << 20)
  }

  @Test(arguments: [(1, 7), (16, 33), (64, 64), (70, 19), (200, 130)])
  func `a linear layer of any shape is the product with its weight, packed once or at each use`(
    outputs: Int, inputs: Int
  ) throws {
    let engine = try Engine()
    var numbers = SeededNumbers(UInt64(outputs * 1000 + inputs))
    let weight = Tensor((0..<outputs * inputs).map { _ in numbers.number() }, shape: [outputs, inputs])
    let bias = Tensor((0..<outputs).map { _ in numbers.number() }, shape: [outputs])
    let x = Tensor((0..<3 * inputs).map { _ in numbers.number() }, shape: [3, inputs])
    let results = try [Residency.resident, .streamed].map { residency in
      let layer = try Linear(
        weight.stored, outputs: outputs, inputs: inputs, bias: bias, residency: residency, on: engine)
      let y = Tensor(zeros: [3, outputs])
      try layer(x.base, rows: 3, into: y.base)
      return y
    }
    #expect(bits(results[0]) == bits(results[1]))
    for row in 0..<3 {
      for output in 0..<outputs {
        let sum = (0..<inputs).reduce(Double(bias.base[output])) {
          $0 + Double(x.base[row * inputs + $1]) * Double(weight.base[output * inputs + $1])
        }
        #expect(abs(Double(results[0].base[row * outputs + output]) - sum) <= 1e-5 * Double(inputs))
      }
    }
  }
}
