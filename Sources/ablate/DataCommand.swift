import ArgumentParser
import Datasets
import Experiments

struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Datasets: what is in one, and how others' become one.",
    subcommands: [ImportCommand.self, ShowCommand.self])
}

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Turns annotated pictures into a dataset folder.",
    discussion: """
      The folder appears whole or not at all; import.json in it says what came in, what was left out and why, with \
      digests of the sources.
      """,
    subcommands: [PanopticPartsCommand.self, COCOCommand.self, MasksCommand.self])
}

struct PanopticPartsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ppp", abstract: "PASCAL Panoptic Parts: label TIFFs, and PASCAL VOC's JPEG images.")

  @Argument(help: "The folder of label TIFFs, searched at any depth.") var labels: String
  @Option(help: "The folder of NAME.jpg for each NAME.tif.") var images: String
  @Option(help: "Names of parts without left, right, front, back, upper, lower (strip), or as they are (keep).")
  var sides = PanopticParts.Sides.strip
  @OptionGroup var options: ImportOptions

  func run() throws {
    try options.run(PanopticParts(labels: labels, images: images, sides: sides), objects: .largest)
  }
}

struct COCOCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "coco", abstract: "COCO's instance annotations: polygons and run lengths.")

  @Argument(help: "The JSON file of annotations.") var file: String
  @Option(help: "The folder that the file's names of images start from.") var images: String
  @Option(help: "Annotations of crowds: skip or keep.") var crowds = COCO.Crowds.skip
  @Option(help: "What stands between class and part in a category's name, as ':' in 'bicycle:wheel'.")
  var partSeparator: String?
  @OptionGroup var options: ImportOptions

  func validate() throws {
    if partSeparator == "" { throw ValidationError("--part-separator must not be empty") }
  }

  func run() throws {
    var settings = COCO.Settings()
    (settings.crowds, settings.partSeparator) = (crowds, partSeparator)
    let source = try COCO(path: file, images: images, settings: settings)
    try options.run(source, objects: partSeparator == nil ? .all : .largest)
  }
}

struct MasksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "masks", abstract: "Folders of masks: NAME.png with named pixel values, or NAME/LABEL.png.")

  @Argument(help: "The folder of masks.") var masks: String
  @Option(help: "The folder of images; those in a folder of their own have its name as class.") var images: String
  @Option(help: "A JSON file that names pixel values: {\"1\": \"wall\"}.") var labels: String?
  @Option(name: .customLong("class"), help: "The class of images that are in no class's folder.") var className: String?
  @OptionGroup var options: ImportOptions

  func run() throws {
    let source = try MaskFolder(masks: masks, images: images, labels: labels, className: className)
    try options.run(source, objects: .all)
  }
}

/// What all formats have in common.
struct ImportOptions: ParsableArguments {
  @Option(help: "The dataset folder to make.") var out: String
  @Option(help: "The prompt, with <image> once in it. {class} and {image} are filled in.") var prompt: String?
  @Option(help: "The right answer. {class} and {image} are filled in.") var answer = "{class}"
  @Option(
    help:
      "all objects of a picture are one example, the largest is, or each is. By default the largest where objects have parts, else all."
  )
  var objects: ImportSettings.Objects?
  @Option(help: "Parts of an object under one label become one (merge) or stay several (separate).")
  var sameLabel = ImportSettings.SameLabel.merge
  @Option(help: "Parts with fewer pixels are left out.") var minArea = 1
  @Option(help: "So many pictures from the start.") var limit: Int?
  @Flag(help: "No progress on stderr.") var quiet = false

  func validate() throws {
    guard minArea >= 1 else { throw ValidationError("--min-area must be at least 1") }
    guard limit ?? 1 >= 1 else { throw ValidationError("--limit must be at least 1") }
    if let prompt, prompt.components(separatedBy: "<image>").count != 2 {
      throw ValidationError("--prompt must hold <image> exactly once")
    }
    for template in [prompt ?? "", answer] {
      if let unknown = template.matches(of: /\{(\w+)\}/).first(where: { !["class", "image"].contains($0.output.1) }) {
        throw ValidationError("\(unknown.output.0) is no placeholder: {class} and {image} are")
      }
    }
  }

  func run(_ source: any ImportSource, objects fallback: ImportSettings.Objects) throws {
    var settings = ImportSettings()
    if let prompt { settings.prompt = prompt }
    (settings.answer, settings.objects, settings.sameLabel) = (answer, objects ?? fallback, sameLabel)
    (settings.minArea, settings.limit) = (minArea, limit)
    var importer = Importer(source: source, settings: settings)
    var progress = Progress(
      total: importer.total, done: 0, unit: "picture", style: quiet ? .silent : Progress.style())
    let outcome = try importer.run(to: out) { progress.advance(by: 1, at: $0) }
    progress.finish()
    print("\(out): \(outcome.examples) examples with \(outcome.parts) parts, of \(outcome.pictures) pictures")
    for entry in outcome.omissions.entries {
      print("left out: \(entry.count) \(entry.reason); first: \(entry.first)")
    }
    print("next: ablate data show \(out)")
  }
}

extension PanopticParts.Sides: ExpressibleByArgument {}
extension COCO.Crowds: ExpressibleByArgument {}
extension ImportSettings.Objects: ExpressibleByArgument {}
extension ImportSettings.SameLabel: ExpressibleByArgument {}
