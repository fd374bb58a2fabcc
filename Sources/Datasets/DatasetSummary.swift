import Checkpoints
import Diagnostics
import Foundation

/// What a checkpoint makes of words and pictures, without its weights.
package struct ModelView: Sendable {
  package let name: String
  let tokenizer: Tokenizer
  let images: ImageProcessor
  let vision: VisionConfiguration

  package init(folder: String, name: String) throws(CheckpointError) {
    self.name = name
    tokenizer = try Tokenizer(contentsOf: folder + "/tokenizer.json")
    images = try ImageProcessor(folder: folder)
    vision = try ModelConfiguration(folder: folder).vision
  }
}

/// What is in a dataset: counted, and with a model also what the model can look for.
package struct DatasetSummary: Sendable {
  /// The parts of one label in examples of one class.
  package struct Label: Sendable {
    package var className: String
    package var label: String
    package var parts = 0
    package var pixels = 0
    /// How many ids the model spells the label with; 0: it cannot. Only labels of one are ranked.
    package var pieces: Int?
    /// Parts that have a patch, by rule.
    package var withPatches = [0, 0, 0]
  }

  /// The rules that are counted, in this order.
  package static let rules: [(name: String, rule: MaskRule)] = [
    ("any", .any), ("coverage 0.5", .coverage(0.5)), ("centre", .centre),
  ]

  package let path: String
  package let model: String?
  package private(set) var examples = 0
  package private(set) var images = 0
  /// Where the dataset names clusters.
  package private(set) var clusters: String?
  package private(set) var sizes: [(size: String, images: Int)] = []
  package private(set) var classes: [(name: String, examples: Int)] = []
  package private(set) var labels: [Label] = []
  /// What a run would leave out.
  package private(set) var omissions = Omissions()

  package init(_ dataset: Dataset, model view: ModelView?, progress: (String) -> Void) throws {
    path = dataset.path
    model = view?.name
    examples = dataset.examples.count
    var counter = Counter(view: view)
    for example in dataset.examples {
      try counter.add(example)
      progress(example.id)
    }
    images = counter.pictures.count
    if dataset.unit != .image { clusters = dataset.unit.counted(Set(dataset.examples.map(\.unit)).count) }
    sizes = counter.sizes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    classes = counter.classes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    labels = counter.labels.values.sorted { ($0.className, $0.label) < ($1.className, $1.label) }
    omissions = counter.omissions
  }

  package var parts: Int { labels.reduce(0) { $0 + $1.parts } }
}

/// Counts example by example; pictures and masks that examples share are read once in a row.
private struct Counter {
  let view: ModelView?
  var pictures: Set<String> = []
  var sizes: [String: Int] = [:]
  var classes: [String: Int] = [:]
  var labels: [String: DatasetSummary.Label] = [:]
  var omissions = Omissions()
  private var mask: GrayImage?

  init(view: ModelView?) { self.view = view }

  mutating func add(_ example: Example) throws {
    let (width, height) = try imageSize(of: [UInt8](read(example.imagePath)), path: example.imagePath)
    if pictures.insert(example.imagePath).inserted { sizes["\(width) x \(height)", default: 0] += 1 }
    classes[example.className ?? "", default: 0] += 1
    for part in example.parts { try add(part, of: example, width: width, height: height) }
  }

  private func read(_ path: String) throws -> Data {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw DatasetError.missing(place: path, what: "there is no such file", remedy: "check the dataset's folder")
    }
    return data
  }

  private mutating func add(_ part: Example.Part, of example: Example, width: Int, height: Int) throws {
    let name = example.className ?? ""
    var row = labels["\(name)\u{0}\(part.label)"] ?? DatasetSummary.Label(className: name, label: part.label)
    defer { labels["\(name)\u{0}\(part.label)"] = row }
    row.parts += 1
    let place = "\(example.id), \(part.name)"
    if mask?.path != part.maskPath { mask = try GrayImage(contentsOf: part.maskPath) }
    guard let mask else { return }
    row.pixels += mask.pixels.count { value in part.value.map { Int(value) == $0 } ?? (value != 0) }
    guard mask.width == width, mask.height == height else {
      omissions.count("masks of another size than their image", at: place)
      return
    }
    guard let view else { return }
    let pieces = (try? view.tokenizer.ids(word: part.label))?.count ?? 0  // a word that cannot be spelled at all
    row.pieces = pieces
    if pieces != 1 { omissions.count("labels that are not one token", at: "\(place): \(pieces) pieces") }
    let coverage = try PartCoverage(
      mask: mask, value: part.value, tiles: view.images.tiles(width: width, height: height),
      patchSize: view.vision.patchSize, grid: view.vision.grid)
    if coverage.isOutside {
      omissions.count("parts outside of the model's input", at: place)
      return
    }
    for (index, (rule, maskRule)) in DatasetSummary.rules.enumerated() {
      if coverage.patches(by: maskRule).isEmpty {
        omissions.count("parts without a patch by the rule '\(rule)'", at: place)
      } else {
        row.withPatches[index] += 1
      }
    }
  }
}

extension DatasetSummary {
  package var json: JSON {
    let labels = labels.map { row in
      var fields: [(String, JSON)] = [
        ("class", .string(row.className)), ("label", .string(row.label)), ("parts", .int(row.parts)),
        ("pixels", .int(row.pixels)),
      ]
      if model != nil {
        fields.append(("pieces", row.pieces.map(JSON.int) ?? .null))
        fields += zip(DatasetSummary.rules, row.withPatches).map { ("with_patches_\($0.name)", JSON.int($1)) }
      }
      return JSON.object(fields)
    }
    return .object([
      ("schema", .string("ablate.dataset/1")), ("path", .string(path)), ("model", model.map(JSON.string) ?? .null),
      ("examples", .int(examples)), ("images", .int(images)), ("clusters", clusters.map(JSON.string) ?? .null),
      ("parts", .int(parts)),
      ("sizes", .object(sizes.map { ($0.size, JSON.int($0.images)) })),
      ("classes", .object(classes.map { ($0.name, JSON.int($0.examples)) })), ("labels", .array(labels)),
      ("left_out", omissions.json),
    ])
  }

  /// For a terminal.
  package var text: String {
    var table = [["class", "examples", "label", "parts", "pixels each"]]
    if model != nil { table[0] += ["pieces"] + DatasetSummary.rules.map(\.name) }
    let examples = Dictionary(classes.map { ($0.name, $0.examples) }, uniquingKeysWith: { first, _ in first })
    var last: String?
    for row in labels {
      let isFirst = row.className != last
      last = row.className
      var cells = [
        isFirst ? row.className : "", isFirst ? "\(examples[row.className] ?? 0)" : "", row.label, "\(row.parts)",
        "\(row.pixels / max(1, row.parts))",
      ]
      if model != nil { cells += [row.pieces.map { "\($0)" } ?? ""] + row.withPatches.map { "\($0)" } }
      table.append(cells)
    }
    let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
    let lines = table.map { cells in
      zip(cells, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }.joined(separator: "  ")
    }
    let shown = sizes.prefix(5).map { "\($0.images) of \($0.size)" }.joined(separator: ", ")
    let named = clusters.map { " in \($0)" } ?? ""
    var text = "\(path): \(self.examples) examples of \(images) images\(named), \(parts) parts\n"
    text += "images: \(shown)\(sizes.count > 5 ? ", and \(sizes.count - 5) more sizes" : "")\n\n"
    text += lines.joined(separator: "\n") + "\n"
    if let model {
      text += "\npieces: ids of the label for \(model); any ... centre: parts that have a patch by the rule\n"
    }
    return text
      + omissions.entries.map { "left out of a run: \($0.count) \($0.reason); first: \($0.first)\n" }.joined()
  }
}
