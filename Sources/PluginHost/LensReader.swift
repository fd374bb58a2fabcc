import Models
import PluginRuntime
import Tensors

/// Reads hidden states in the model's words, once the pass is over: what a lens that learns is trained by and read with.
package struct LensReader {
  package let model: VisionLanguageModel
  /// The capture whose lens settings hold.
  let request: ReadingRequest

  /// What is read at one row.
  package struct Line {
    /// Of its label; nil for a label without a spelling that counts.
    package let answer: LensAnswer?
    /// The words that stand first.
    package let words: [String]
  }

  /// Where the activations lie that such a lens learns to foretell.
  package var finalPoint: String { "\(HookPoint(.text, model.hooks.textLayers - 1, .residPost))" }

  /// Whether a label has a spelling that counts.
  package func reads(_ label: ItemFacts.Label) -> Bool { !label.spellings(request).isEmpty }

  /// - Parameters:
  ///   - hidden: [rows, width].
  ///   - labels: of each row.
  package func read(
    _ hidden: [Float], width: Int, labels: [ItemFacts.Label]
  ) throws(ModelError) -> [Line] {
    let spellings = labels.map { $0.spellings(request) }
    let targets = Set(spellings.joined().joined()).sorted()
    let readings = try model.lens(
      Tensor(hidden, shape: [labels.count, width]), targets: targets, top: request.top, request.lensOptions)
    let place = Dictionary(uniqueKeysWithValues: targets.enumerated().map { ($1, $0) })
    return zip(readings, spellings).map { reading, spellings in
      Line(
        answer: reading.answer(to: spellings, place, request.pieces), words: reading.top.map { model.word($0.id) })
    }
  }

  /// KL(finals || hidden) in nats of each row, [rows, width] both.
  package func divergence(_ hidden: [Float], from finals: [Float], width: Int) throws(ModelError) -> [Double] {
    let shape = [hidden.count / max(1, width), width]
    return try model.divergence(
      Tensor(hidden, shape: shape), from: Tensor(finals, shape: shape), gradient: false, request.lensOptions
    ).values
  }

  /// The same with its gradient at `hidden`.
  func gradient(
    _ hidden: TensorValue, from finals: TensorValue
  ) throws(ModelError) -> (values: [Float], gradient: [Float]) {
    guard hidden.shape.last == model.configuration.text.width else {
      throw .input(
        place: "lens", problem: "hidden states of width \(hidden.shape.last ?? 0)",
        remedy: "the residual stream has \(model.configuration.text.width)")
    }
    let found = try model.divergence(
      Tensor(hidden.values, shape: hidden.shape), from: Tensor(finals.values, shape: finals.shape), gradient: true,
      request.lensOptions)
    return (found.values.map { Float($0) }, found.gradient?.values ?? [])
  }
}

extension LensReading {
  /// The best of a label's spellings; nil without any.
  ///
  /// - Parameter place: of each id among the targets.
  func answer(to spellings: [[Int]], _ place: [Int: Int], _ pieces: ReadingRequest.Pieces) -> LensAnswer? {
    spellings.compactMap { ids in pieces.combine(ids.compactMap { id in place[id].map { answers[$0] } }) }
      .min { $0.rank < $1.rank }
  }
}
