import Checkpoints
import Diagnostics
import Foundation
import PluginRuntime

/// A checkpoint of the same architecture whose weights say nothing: of every tensor the same numbers in an order drawn by the seed, in the
/// same type. The baseline of a probe that learns: what it finds there comes from the architecture and the probe, not from training
/// (Zhang and Bowman 2018). Everything beside the weights is copied.
package enum ShuffledCheckpoint {
  /// Writes the folder `target` beside its place and moves it there.
  ///
  /// - Throws: `file` where `target` exists or cannot be written; `CheckpointError` for weights that cannot be read.
  package static func write(of folder: String, seed: UInt64, to target: String) throws {
    let files = FileManager.default
    guard !files.fileExists(atPath: target) else {
      throw ExperimentError.file(path: target, what: "exists already; name another folder, or remove it")
    }
    _ = try WeightFiles(folder: folder)  // a folder that loads, before anything is copied
    let draft = target + ".partial-\(getpid())"
    do {
      try files.createDirectory(atPath: draft, withIntermediateDirectories: true)
      for name in try files.contentsOfDirectory(atPath: folder).sorted() {
        // What a cache of Hugging Face holds are links.
        let source = URL(fileURLWithPath: folder + "/" + name).resolvingSymlinksInPath().path
        var isFolder: ObjCBool = false
        guard files.fileExists(atPath: source, isDirectory: &isFolder), !isFolder.boolValue else { continue }
        try files.copyItem(atPath: source, toPath: draft + "/" + name)
        if name.hasSuffix(".safetensors") { try shuffle(draft + "/" + name, seed: seed) }
      }
      guard rename(draft, target) == 0 else {
        throw ExperimentError.file(path: target, what: "cannot be made: \(String(cString: strerror(errno)))")
      }
    } catch {
      try? files.removeItem(atPath: draft)
      if error is any DiagnosedError { throw error }
      throw ExperimentError.file(path: target, what: "cannot be written: \(error.localizedDescription)")
    }
  }

  private static func shuffle(_ path: String, seed: UInt64) throws {
    let file = try SafetensorsFile(path)
    chmod(path, 0o644)
    let descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw ExperimentError.file(path: path, what: "cannot be opened for writing") }
    defer { close(descriptor) }
    let size = file.contents.count
    let mapping = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let mapping, mapping != MAP_FAILED else {
      throw ExperimentError.file(path: path, what: "cannot be memory-mapped")
    }
    defer { munmap(mapping, size) }
    for (name, entry) in file.entries.sorted(by: { $0.key < $1.key }) {
      guard let start = file.bytes(entry).baseAddress, let whole = file.contents.baseAddress else { continue }
      let bytes = mapping + (start - whole)
      let lane = UInt64(SHA256.hex("random weights\u{0}\(name)").prefix(16), radix: 16) ?? 0
      let key = Philox.key(seed: seed, lane: lane)
      switch entry.type {
      case .f32: shuffle(bytes, entry.range.count / 4, of: UInt32.self, key)
      case .f16, .bf16: shuffle(bytes, entry.range.count / 2, of: UInt16.self, key)
      case .i64: break  // ids and positions are no weights
      }
    }
  }

  /// Fisher and Yates; a tensor has fewer than 2^32 elements.
  private static func shuffle<T: BitwiseCopyable>(
    _ bytes: UnsafeMutableRawPointer, _ count: Int, of type: T.Type, _ key: SIMD2<UInt32>
  ) {
    var words = [UInt32](repeating: 0, count: 4096)
    for index in 0..<max(0, count - 1) {
      let place = index % words.count
      if place == 0 {
        words.withUnsafeMutableBufferPointer { Philox.fill($0, key: key, stream: 0, first: UInt64(index)) }
      }
      let other = index + Int((UInt64(words[place]) * UInt64(count - index)) >> 32)
      // A header may leave the data at any address.
      let width = MemoryLayout<T>.size
      let (a, b) = (
        bytes.loadUnaligned(fromByteOffset: index * width, as: T.self),
        bytes.loadUnaligned(fromByteOffset: other * width, as: T.self)
      )
      bytes.storeBytes(of: b, toByteOffset: index * width, as: T.self)
      bytes.storeBytes(of: a, toByteOffset: other * width, as: T.self)
    }
  }
}
