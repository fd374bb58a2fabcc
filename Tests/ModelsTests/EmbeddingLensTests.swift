import Foundation
import Models
import Tensors
import Testing

/// The lens against the input embeddings, by the numbers of transformers and torch.
@Suite(.serialized) struct EmbeddingLensTests {
  /// text.0.resid_post of the goldens, at the reference's rows.
  static func hidden(_ parity: ParityCase, _ point: String = "text.0.resid_post") throws -> Tensor {
    let (shape, values) = (try parity.goldens.floats(point).shape, try parity.goldens.floats(point).values)
    let all = Tensor(values, shape: [values.count / (shape.last ?? 1), shape.last ?? 1])
    return all.selecting(LensReference.rows, axis: 0)
  }

  @Test(arguments: ["mha", "tied"])
  func `scores, ranks and log-probabilities are those of transformers' embedding table`(name: String) throws {
    let parity = try ParityCase(name, "clean")
    let model = try parity.model()
    let reference = try #require(LensReference.cases[name])
    for (cosine, expected) in [(false, reference.product), (true, reference.cosine)] {
      let options = LensOptions(normed: false, matrix: .embedding, cosine: cosine)
      let readings = try model.lens(Self.hidden(parity), targets: LensReference.ids, top: 1, options)
      let numbers = readings.flatMap(\.answers).flatMap { [$0.logit, $0.rank, $0.logProbability] }
      #expect(numbers.count == expected.count)
      let scale = expected.map { abs($0) }.max() ?? 1
      #expect(zip(numbers, expected).allSatisfy { abs($0 - $1) < 1e-6 * scale }, "cosine \(cosine)")
      for reading in readings where cosine { #expect(reading.top.allSatisfy { abs($0.logit) <= 1 + 1e-6 }) }
    }
    // Of an untied model the unembedding is another matrix: the comparison above can fail.
    let options = LensOptions(normed: false, matrix: .unembedding)
    let other = try model.lens(Self.hidden(parity), targets: LensReference.ids, options).flatMap(\.answers).map(\.logit)
    let own = stride(from: 0, to: reference.product.count, by: 3).map { reference.product[$0] }
    #expect(zip(other, own).allSatisfy { abs($0 - $1) < 1e-4 } == model.configuration.text.tiedEmbeddings)
  }

  @Test func `a word's own embedding looks like the word, and zeros look like nothing`() throws {
    let model = try ParityCase("mha", "clean").model()
    let width = model.configuration.text.width
    let (input, id) = (try ParityCase("mha", "clean").input(model), 77)
    #expect(input.ids.contains { $0 != id })
    let embedded = try #require(
      model.run(
        model.input(ids: input.ids.map { $0 == model.configuration.imageTokenIndex ? $0 : id }, pixels: input.pixels),
        [LaneRequest(Program(capturing: [HookPoint(.text, nil, .embed)], input), outputRows: [])])[0]
        .results.captures.first
    ).tensor
    let row = embedded.selecting([input.ids.count - 1], axis: 0)
    let options = LensOptions(normed: false, matrix: .embedding, cosine: true)
    let top = try model.lens(row, targets: [], top: 1, options)[0].top[0]
    #expect(top.id == id && abs(top.logit - 1) < 1e-6)
    let nothing = try model.lens(Tensor(zeros: [1, width]), targets: [id], options)[0].answers[0]
    #expect(nothing.logit == 0 && nothing.rank == Double(1 + model.configuration.text.vocabulary) / 2)
  }
}
