import Diagnostics
import Foundation

/// An image processor's JSON with CLIP's defaults filled in.
struct ImageProcessorSettings {
  var size: ImageProcessor.Size = .shortestEdge(224)
  var filter = ResampleFilter.bicubic
  var width = 224
  var height = 224
  /// nil: values stay 0...255.
  var rescaleFactor: Double? = 1 / 255
  /// Three values each; nil: not normalised.
  var normalise: (mean: [Double], std: [Double])?
  /// LLaVA-NeXT's canvases; empty for the processors that make one tile of a picture.
  var pinpoints: [GridPinpoint] = []

  /// The keys that are computed with.
  private static let computedKeys = [
    "crop_size", "default_to_square", "do_center_crop", "do_convert_rgb", "do_normalize", "do_pad", "do_rescale",
    "do_resize", "feature_extractor_type", "image_grid_pinpoints", "image_mean", "image_processor_type", "image_std",
    "resample",
    "rescale_factor", "size",
  ]

  /// Keys that do not change what the PIL processor makes of a picture: names, what only the torchvision one reads,
  /// the layout of what is returned, and a padding size that nothing uses unless `do_pad` is set (which is refused).
  static let harmlessKeys: Set<String> = [
    "_valid_processor_keys", "data_format", "device", "disable_grouping", "image_seq_length", "input_data_format",
    "pad_size", "processor_class", "return_tensors",
  ]

  /// The processors that do the same without padding.
  private static let knownTypes: Set<String> = [
    "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor",
    "LlavaImageProcessor", "LlavaImageProcessorFast", "LlavaImageProcessorPil",
  ]

  /// Those that cut a picture into tiles.
  private static let tilingTypes: Set<String> = [
    "LlavaNextImageProcessor", "LlavaNextImageProcessorFast", "LlavaNextImageProcessorPil",
  ]
  /// `image_grid_pinpoints` where a tiling processor's file leaves them out.
  private static let usualPinpoints = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)].map {
    GridPinpoint(height: $0.0, width: $0.1)
  }

  private static let clipMean = [0.48145466, 0.4578275, 0.40821073]
  private static let clipStd = [0.26862954, 0.26130258, 0.27577711]
  /// Far above any model's; keeps the arithmetic of sizes from overflowing.
  static let maxEdge = 16_384

  /// As transformers 5 reads a folder: `image_processor` within `processor_config.json` if it is there, else
  /// `preprocessor_config.json`.
  init(folder: String) throws(CheckpointError) {
    let nested = folder + "/processor_config.json"
    let flat = folder + "/preprocessor_config.json"
    if FileManager.default.fileExists(atPath: nested) {
      let outer = try SettingsReader(bytes: ImageFile.read(nested), path: nested)
      if let inner = try outer.object("image_processor") {
        try self.init(inner)
        return
      }
    }
    guard FileManager.default.fileExists(atPath: flat) else {
      throw .missing(
        path: flat, remedy: "a checkpoint needs preprocessor_config.json, or image_processor in processor_config.json")
    }
    try self.init(SettingsReader(bytes: ImageFile.read(flat), path: flat))
  }

  init(_ json: SettingsReader) throws(CheckpointError) {
    let tiles = try Self.refuseUnknown(json)
    try readSize(json)
    try readCrop(json)
    if tiles { try readPinpoints(json) }
    if try json.bool("do_rescale") ?? true {
      rescaleFactor = try json.number("rescale_factor") ?? 1 / 255
    } else {
      rescaleFactor = nil
    }
    if try json.bool("do_normalize") ?? true {
      let mean = try json.channels("image_mean") ?? Self.clipMean
      let std = try json.channels("image_std") ?? Self.clipStd
      if std.contains(0) {
        throw json.malformed("image_std", "a standard deviation of 0", "give three numbers above 0")
      }
      normalise = (mean, std)
    }
  }

  /// Whether the processor is one that makes tiles.
  private static func refuseUnknown(_ json: SettingsReader) throws(CheckpointError) -> Bool {
    var tiles = false
    for key in json.keys where !computedKeys.contains(key) && !harmlessKeys.contains(key) {
      throw json.unsupported(
        key, "a setting that Ablate does not know (\(suggestion(for: key, in: computedKeys)))",
        "remove it if it does not change the pixels")
    }
    for key in ["image_processor_type", "feature_extractor_type"] {
      guard let type = try json.text(key) else { continue }
      tiles = tiles || tilingTypes.contains(type)
      if !knownTypes.contains(type) && !tilingTypes.contains(type) {
        throw json.unsupported(
          key, "the image processor \(type)", "known: CLIPImageProcessor, LlavaImageProcessor, LlavaNextImageProcessor")
      }
    }
    if !tiles, try json.pinpoints("image_grid_pinpoints") != nil {
      throw json.unsupported(
        "image_grid_pinpoints", "tiles of a processor that makes none", "name the LlavaNextImageProcessor, or remove it"
      )
    }
    // A tiling processor's padding is of the batch: tiles that no picture of one prompt has.
    if !tiles, try json.bool("do_pad") ?? false {
      throw json.unsupported("do_pad", "padding the picture to a square", "set it to false: the picture is cropped")
    }
    if try json.bool("do_convert_rgb") == false {
      throw json.unsupported("do_convert_rgb", "pictures that are not converted to RGB", "set it to true")
    }
    return tiles
  }

  /// A tile is as large as the squashed picture and as the crop, so that the processor's own second resize and crop change nothing.
  private mutating func readPinpoints(_ json: SettingsReader) throws(CheckpointError) {
    let fits =
      switch size {
      case .shortestEdge(let edge): edge == width && edge == height
      case .exact(let exactWidth, let exactHeight): exactWidth == width && exactHeight == height && width == height
      case .unchanged: false
      }
    guard fits else {
      throw json.unsupported(
        "size", "tiles of another size than crop_size", "give both the size of the vision tower's input")
    }
    size = .exact(width: width, height: height)
    pinpoints = try json.pinpoints("image_grid_pinpoints") ?? Self.usualPinpoints
    guard pinpoints.allSatisfy({ $0.width % width == 0 && $0.height % height == 0 }) else {
      throw json.malformed("image_grid_pinpoints", "a canvas that tiles of \(width) do not fill", "")
    }
  }

  private mutating func readSize(_ json: SettingsReader) throws(CheckpointError) {
    if let number = try json.integer("resample") {
      guard let known = ResampleFilter(rawValue: number) else {
        throw json.unsupported("resample", "the resampling filter \(number)", "known: 1 Lanczos, 2 bilinear, 3 bicubic")
      }
      filter = known
    }
    guard try json.bool("do_resize") ?? true else {
      size = .unchanged
      return
    }
    guard let dimensions = try json.dimensions("size") else { return }
    switch dimensions {
    case .one(let edge):
      size = try json.bool("default_to_square") ?? false ? .exact(width: edge, height: edge) : .shortestEdge(edge)
    case .shortestEdge(let edge): size = .shortestEdge(edge)
    case .two(let height, let width): size = .exact(width: width, height: height)
    }
  }

  private mutating func readCrop(_ json: SettingsReader) throws(CheckpointError) {
    guard try json.bool("do_center_crop") ?? true else {
      guard case .exact(let exactWidth, let exactHeight) = size else {
        throw json.unsupported(
          "do_center_crop", "inputs as large as each picture comes out",
          "set it to true, or give size a height and width")
      }
      (width, height) = (exactWidth, exactHeight)
      return
    }
    switch try json.dimensions("crop_size") {
    case nil: break
    case .one(let edge): (width, height) = (edge, edge)
    case .two(let rows, let columns): (width, height) = (columns, rows)
    case .shortestEdge:
      throw json.malformed(
        "crop_size", "a crop needs a height and a width", #"for instance {"height": 336, "width": 336}"#)
    }
  }
}
