import Foundation
import Models
import Tensors
import Testing

/// What a lens that learns is trained by, against torch's autograd through transformers' norm and unembedding.
@Suite(.serialized) struct LensDivergenceTests {
  private static let options = LensOptions(vocabulary: 0..<LensReference.known)

  @Test(arguments: ["mha", "tied"])
  func `divergence and gradient are those of autograd`(name: String) throws {
    let parity = try ParityCase(name, "clean")
    let model = try parity.model()
    let reference = try #require(LensReference.cases[name])
    let hidden = try EmbeddingLensTests.hidden(parity)
    let finals = try EmbeddingLensTests.hidden(parity, "text.\(model.hooks.textLayers - 1).resid_post")
    let found = try model.divergence(hidden, from: finals, gradient: true, Self.options)
    let gradient = try #require(found.gradient)
    #expect(zip(found.values, reference.divergence).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(gradient.count == reference.gradient.count)
    let scale = reference.gradient.map { abs($0) }.max() ?? 1
    let furthest = zip(gradient.values, reference.gradient).map { abs(Double($0) - $1) }.max() ?? .infinity
    #expect(furthest < 1e-4 * scale, "\(furthest) of \(scale)")
    // Without the norm it is another lens: the comparison above can fail.
    var other = Self.options
    other.normed = false
    let bare = try model.divergence(hidden, from: finals, gradient: true, other)
    #expect(zip(bare.values, reference.divergence).contains { abs($0 - $1) > 1e-3 })
  }

  @Test func `equal rows are exactly 0 apart, with a gradient of zeros, and no id outside of the range counts`() throws
  {
    let parity = try ParityCase("mha", "clean")
    let model = try parity.model()
    let hidden = try EmbeddingLensTests.hidden(parity)
    let same = try model.divergence(hidden, from: hidden, gradient: true, Self.options)
    #expect(same.values.allSatisfy { $0 == 0 } && same.gradient?.values.allSatisfy { $0 == 0 } == true)
    let finals = try EmbeddingLensTests.hidden(parity, "text.1.resid_post")
    let some = try model.divergence(hidden, from: finals, gradient: false, LensOptions(vocabulary: 7..<9))
    #expect(some.gradient == nil && some.values.allSatisfy { $0 > 0 && $0 < 1 })
    // More rows than pass together.
    let many = hidden.selecting((0..<300).map { $0 % 4 }, axis: 0)
    let twins = finals.selecting((0..<300).map { $0 % 4 }, axis: 0)
    let all = try model.divergence(many, from: twins, gradient: true, Self.options)
    let four = try model.divergence(hidden, from: finals, gradient: true, Self.options)
    #expect((0..<300).allSatisfy { abs(all.values[$0] - four.values[$0 % 4]) < 1e-6 })
  }
}
