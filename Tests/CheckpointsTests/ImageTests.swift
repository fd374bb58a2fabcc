import Checkpoints
import Diagnostics
import Foundation
import Testing

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/images").path

private func fixture(_ name: String) throws -> [UInt8] {
  try [UInt8](Data(contentsOf: URL(filePath: "\(fixtures)/\(name)")))
}

/// `goldens.json`, made by Tools/make_image_goldens.py.
private struct Goldens: Decodable {
  struct Picture: Decodable {
    let width: Int
    let height: Int
    let rgb: String
    let pixelValues: [String: String]
  }

  struct Mask: Decodable {
    let width: Int
    let height: Int
    let samples: String
    /// By "shortest edge, crop height, crop width, patch, label".
    let coverage: [String: [Float]]
  }

  let configs: [String]
  let images: [String: Picture]
  let masks: [String: Mask]

  static func load() throws -> Goldens {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Goldens.self, from: Data(fixture("goldens.json")))
  }
}

/// What `body` is refused with, or nil.
private func refusal(_ body: () throws -> Void) -> Diagnosis? {
  do { try body() } catch { return (error as? CheckpointError)?.diagnosis }
  return nil
}

/// The processor of a checkpoint folder whose preprocessor_config.json is `json`.
private func processor(_ json: String) throws -> ImageProcessor {
  try inFolder(["preprocessor_config.json": json]) { try ImageProcessor(folder: $0) }
}

/// Runs `body` on a new folder with these files.
private func inFolder<Result>(_ files: [String: String], body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "ablate-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  for (name, text) in files { try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8) }
  return try body(folder)
}

private func refusalOfPicture(_ bytes: [UInt8]) -> Diagnosis? {
  refusal { _ = try RGBImage(bytes: bytes, path: "x") }
}

@Suite struct `Pictures match Pillow and transformers to the bit` {
  @Test(arguments: try Goldens.load().images.keys.sorted())
  func `every kind of JPEG, PNG and WebP decodes to Pillow's pixels`(name: String) throws {
    let golden = try #require(Goldens.load().images[name])
    let image = try RGBImage(contentsOf: "\(fixtures)/\(name)")
    #expect(image.width == golden.width && image.height == golden.height)
    #expect(SHA256.hex(image.pixels) == golden.rgb)
  }

  @Test(arguments: try Goldens.load().configs)
  func `pixel values are those of the PIL CLIP processor`(config: String) throws {
    let processor = try ImageProcessor(folder: "\(fixtures)/processors/\(config)")
    let pictures = try Goldens.load().images
    #expect(pictures.count > 20)
    for (name, golden) in pictures {
      let pixels = try processor.pixels(of: RGBImage(contentsOf: "\(fixtures)/\(name)"))
      #expect(pixels.count == 3 * processor.width * processor.height)
      #expect(pixels.withUnsafeBytes { SHA256.hex($0) } == golden.pixelValues[config], "\(name)")
    }
  }

  @Test(arguments: try Goldens.load().masks.keys.sorted())
  func `masks keep their samples, and patches the share that Pillow's nearest neighbour gives`(name: String) throws {
    let golden = try #require(Goldens.load().masks[name])
    let mask = try GrayImage(contentsOf: "\(fixtures)/\(name)")
    #expect(mask.width == golden.width && mask.height == golden.height)
    #expect(SHA256.hex(mask.pixels) == golden.samples)
    for (key, expected) in golden.coverage {
      let words = key.split(separator: " ")
      let numbers = words.prefix(4).compactMap { Int($0) }
      let (height, width, patch) = (numbers[1], numbers[2], numbers[3])
      let settings = #"{"size": \#(numbers[0]), "crop_size": {"height": \#(height), "width": \#(width)}}"#
      let processor = try processor(settings)
      let coverage = try patchCoverage(
        mask: mask, value: UInt8(words[4]), geometry: processor.geometry(width: mask.width, height: mask.height),
        patchSize: patch, rows: height / patch, cols: width / patch)
      #expect(coverage == expected, "\(key)")
    }
  }
}

/// A seeded generator, so that a mutant that fails is found again.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

@Suite struct `Bad pictures are refused by name` {
  @Test(arguments: [
    ("cmyk.jpg", "CMYK JPEG"), ("grey-16bit.png", "16-bit grey PNG"), ("bomb.png", "20000 x 20000 pixels"),
    ("moving.webp", "animated WebP"), ("palette-beyond.png", "palette index 3 of 3 colours"),
    ("goldens.json", "not a JPEG, PNG or WebP"),
  ])
  func `kinds that cannot be read say which they are`(name: String, words: String) throws {
    let diagnosis = try #require(refusal { _ = try RGBImage(contentsOf: "\(fixtures)/\(name)") })
    #expect(diagnosis.what.contains(words))
    #expect(diagnosis.place.hasPrefix("\(fixtures)/\(name)"))
    #expect(diagnosis.exit == .badData && !diagnosis.remedy.isEmpty)
  }

  @Test func `a missing file is missing input and a folder is unreadable`() throws {
    #expect(refusal { _ = try RGBImage(contentsOf: "\(fixtures)/none.jpg") }?.exit == .missingInput)
    #expect(refusal { _ = try RGBImage(contentsOf: fixtures) }?.what == "cannot be read")
  }

  @Test func `other formats are named`() {
    #expect(refusalOfPicture(Array("GIF89a".utf8))?.what == "unsupported: GIF images")
    #expect(refusalOfPicture([])?.what == "not a JPEG, PNG or WebP image")
  }

  @Test(arguments: [
    "chelsea-420.jpg", "rocket-progressive-422.jpg", "coffee-grey.jpg", "chelsea-rgba.png", "la-16bit.png",
    "coffee-palette-alpha.png", "chelsea-lossy.webp", "chelsea-alpha.webp", "coffee-lossless.webp",
  ])
  func `a picture cut short anywhere is an error`(name: String) throws {
    let bytes = try fixture(name)
    // The last 12 bytes of a PNG are its IEND, whose absence loses nothing.
    let lengths = stride(from: 0, to: bytes.count - 14, by: max(1, bytes.count / 97))
    for length in lengths { #expect(refusalOfPicture(Array(bytes.prefix(length))) != nil, "\(length)") }
    #expect(refusalOfPicture(bytes) == nil)
  }

  @Test func `a truncated JPEG says that its data end`() throws {
    let diagnosis = refusalOfPicture(Array(try fixture("chelsea-420.jpg").prefix(20_000)))
    #expect(diagnosis?.what == "corrupt JPEG: Premature end of JPEG file")
  }

  @Test func `a JPEG that claims more pixels than are read is refused before it is decoded`() throws {
    var bytes = try fixture("chelsea-420.jpg")
    let frame = try #require(bytes.indices.first { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC0 })
    bytes.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0x00, 0xFF, 0x00])
    #expect(refusalOfPicture(bytes)?.what.hasPrefix("65280 x 65280 pixels are more") == true)
  }

  @Test func `a flipped bit in a PNG is noticed and no flipped byte anywhere traps`() throws {
    let png = try fixture("coffee-palette-4bit.png")
    var corrupt = png
    corrupt[png.count / 2] ^= 1
    #expect(refusalOfPicture(corrupt)?.what.hasPrefix("corrupt PNG") == true)
    var generator = SplitMix(state: 20_261_124)
    let names = [
      "grey-4bit-interlaced.png", "rgb-key-interlaced.png", "cmyk.jpg", "rocket-strip.jpg", "chelsea-alpha.webp",
    ]
    for name in names {
      let bytes = try fixture(name)
      for _ in 0..<200 {
        var mutant = bytes
        for _ in 0..<3 {
          mutant[.random(in: 8..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
        }
        let diagnosis = refusalOfPicture(mutant)
        #expect(diagnosis == nil || diagnosis?.exit == .badData)
      }
    }
  }

  @Test func `a mask in colour, with alpha, of 16 bits or as JPEG is refused`() throws {
    for name in ["astronaut-small.png", "chelsea-la.png", "grey-16bit.png", "coffee-grey.jpg"] {
      let diagnosis = try #require(refusal { _ = try GrayImage(contentsOf: "\(fixtures)/\(name)") })
      #expect(diagnosis.what.contains("a mask") && diagnosis.remedy.contains("palette PNG"), "\(name)")
    }
  }

  @Test func `a mask of another size than its image is refused`() throws {
    let geometry = try processor("{}").geometry(width: 8, height: 8)
    let mask = GrayImage(width: 8, height: 9, pixels: [UInt8](repeating: 1, count: 72), path: "m.png")
    let diagnosis = refusal {
      _ = try patchCoverage(mask: mask, value: nil, geometry: geometry, patchSize: 14, rows: 16, cols: 16)
    }
    #expect(diagnosis?.what == "the mask is 8 x 9 pixels, its image 8 x 8" && diagnosis?.place == "m.png")
  }
}

@Suite struct `An image processor's settings` {
  @Test(arguments: [
    (#"{"do_pad": true}"#, "do_pad"), (#"{"resample": 0}"#, "resample"),
    (#"{"do_convert_rgb": false}"#, "do_convert_rgb"),
    (#"{"image_processor_type": "SiglipImageProcessor"}"#, "image_processor_type"),
    (#"{"size": {"longest_edge": 336}}"#, "size"), (#"{"image_grid_pinpoints": [[1, 2]]}"#, "image_grid_pinpoints"),
    (#"{"do_center_crop": false}"#, "do_center_crop"), (#"{"crop_size": {"shortest_edge": 3}}"#, "crop_size"),
    (#"{"size": {"shortest_edge": 0}}"#, "size.shortest_edge"), (#"{"image_std": [1, 1, 0]}"#, "image_std"),
    (#"{"image_mean": [1, 1]}"#, "image_mean"), (#"{"do_resize": "yes"}"#, "do_resize"),
    (#"{"size": 33.5}"#, "size"), (#"{"rescale_factor": "1/255"}"#, "rescale_factor"),
  ])
  func `what would change the pixels and is not computed is refused with its key`(json: String, key: String) throws {
    let diagnosis = try #require(refusal { _ = try processor(json) })
    #expect(diagnosis.place.hasSuffix("/preprocessor_config.json: \(key)") && diagnosis.exit == .badData)
  }

  @Test func `a misspelt key gets a suggestion and a null one counts as absent`() throws {
    #expect(refusal { _ = try processor(#"{"do_centre_crop": true}"#) }?.what.contains("'do_center_crop'") == true)
    let image = try RGBImage(contentsOf: "\(fixtures)/astronaut-small.png")
    let nulls = try processor(#"{"size": null, "do_pad": null, "unheard_of": null, "device": "cpu"}"#)
    #expect(try nulls.pixels(of: image) == processor("{}").pixels(of: image))
  }

  @Test func `a folder without settings, and settings that are not JSON, say so`() throws {
    let missing = try inFolder([:]) { folder in refusal { _ = try ImageProcessor(folder: folder) } }
    #expect(missing?.exit == .missingInput)
    #expect(missing?.place.hasSuffix("preprocessor_config.json") == true)
    #expect(refusal { _ = try processor("[1") }?.what == "not a JSON object")
  }

  @Test func `settings within processor_config go before preprocessor_config`() throws {
    let files = [
      "preprocessor_config.json": "{}", "processor_config.json": #"{"image_processor": {"do_pad": true}}"#,
    ]
    let refused = try inFolder(files) { folder in refusal { _ = try ImageProcessor(folder: folder) } }
    #expect(refused?.place.hasSuffix("/processor_config.json: image_processor.do_pad") == true)
  }
}

@Suite struct `Geometry of the input` {
  @Test func `an input's boxes are found in the source`() throws {
    let geometry = try processor(#"{"size": 336, "crop_size": 336}"#).geometry(width: 640, height: 480)
    #expect(geometry.resizedWidth == 448 && geometry.resizedHeight == 336)
    #expect(geometry.offsetX == 56 && geometry.offsetY == 0)
    let patch = geometry.sourceBox(ofInput: PixelBox(left: 14, top: 28, right: 28, bottom: 42))
    #expect(patch == PixelBox(left: 100, top: 40, right: 120, bottom: 60))
    let all = geometry.sourceBox(ofInput: PixelBox(left: 0, top: 0, right: 336, bottom: 336))
    #expect(all == PixelBox(left: 80, top: 0, right: 560, bottom: 480))
  }

  @Test func `padding lies outside the source and outside every mask`() throws {
    let processor = try processor(#"{"do_resize": false, "crop_size": 9}"#)
    let geometry = processor.geometry(width: 4, height: 20)
    // (4 - 9) / 2 rounded down, as in Python.
    #expect(geometry.offsetX == -3 && geometry.offsetY == 5)
    let all = geometry.sourceBox(ofInput: PixelBox(left: 0, top: 0, right: 9, bottom: 9))
    #expect(all == PixelBox(left: 0, top: 5, right: 4, bottom: 14))
    let mask = GrayImage(width: 4, height: 20, pixels: [UInt8](repeating: 7, count: 80))
    let third = Float(1) / 3
    let coverage = try patchCoverage(mask: mask, value: 7, geometry: geometry, patchSize: 3, rows: 3, cols: 3)
    #expect(coverage == [0, 1, third, 0, 1, third, 0, 1, third])
  }

  @Test func `a coverage says where a patch's pixels were taken from`() throws {
    // One source pixel is in the mask: the patches that cover it are those whose source boxes contain its centre.
    let processor = try processor(#"{"size": 64, "crop_size": 64}"#)
    let geometry = processor.geometry(width: 91, height: 53)
    var pixels = [UInt8](repeating: 0, count: 91 * 53)
    pixels[20 * 91 + 40] = 1
    let mask = GrayImage(width: 91, height: 53, pixels: pixels)
    let coverage = try patchCoverage(mask: mask, value: nil, geometry: geometry, patchSize: 16, rows: 4, cols: 4)
    for patch in 0..<16 {
      let (row, column) = (Float(patch / 4 * 16), Float(patch % 4 * 16))
      let box = geometry.sourceBox(
        ofInput: PixelBox(left: column, top: row, right: column + 16, bottom: row + 16))
      let holds = (box.left...box.right).contains(40.5) && (box.top...box.bottom).contains(20.5)
      #expect((coverage[patch] > 0) == holds, "patch \(patch)")
    }
    #expect(coverage.filter { $0 > 0 }.count == 1)
  }
}
