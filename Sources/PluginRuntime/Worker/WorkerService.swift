import Foundation
import Glibc
import PluginABI

/// The worker's side: makes the one plugin of its host and answers its calls until it is told to end.
///
/// Every call ends in `done` or `failed`. A process that ends without having said so has failed, with whatever status.
package final class WorkerService {
  private let channel: WorkerChannel
  private let library: Int32
  /// Shuts this process in, before the library is loaded; gives what holds it.
  private let sandbox: (_ mebibytes: Int) -> [String]
  private var instance: (any PluginCalls)?
  private var fit: FitService?
  /// Of lanes that have drawn random words.
  private var keys: [UInt32: SIMD2<UInt32>] = [:]

  package init(_ channel: WorkerChannel, library: Int32, sandbox: @escaping (_ mebibytes: Int) -> [String]) {
    (self.channel, self.library, self.sandbox) = (channel, library, sandbox)
  }

  /// Returns when the host says so, or is gone.
  package func run() {
    while case .message(let kind, var wire)? = try? channel.receive() {
      do {
        let answer = try answer(kind, &wire)
        try channel.send(.done, answer)
      } catch let error as PluginError {
        var message = WireWriter()
        error.write(to: &message)
        guard (try? channel.send(.failed, message)) != nil else { return }
      } catch {
        return
      }
      if kind == .destroy { return }
    }
  }

  private func answer(_ kind: WorkerChannel.Kind, _ wire: inout WireReader) throws -> WireWriter {
    var answer = WireWriter()
    switch kind {
    case .create: answer.put(try create(&wire))
    case .plan: answer.put(try plugin.plan(wire.get()))
    case .beginLane:
      let lane: UInt32 = try wire.get()
      keys[lane] = nil
      try plugin.beginLane(lane, wire.get())
    case .event:
      let (place, count): (EventPlace, UInt64) = (try wire.get(), try wire.get())
      let slices = try (0..<count).map { _ in try SliceView(from: &wire, in: channel.views) }
      try plugin.onEvent(place, slices)
    case .endLane: try plugin.endLane(wire.get(), readings: wire.get())
    case .destroy: instance?.destroy()
    case .fit:
      let calls = try plugin.fit()
      fit = FitService(calls, views: channel.views)
      answer.put(calls.isLens)
    case .beginFit, .batch, .endFit, .predict, .save, .load:
      guard let fit else { throw WireFault(problem: "\(kind) came before fit") }
      try fit.answer(kind, &wire, into: &answer)
    default: throw WireFault(problem: "\(kind) is no request")
    }
    return answer
  }

  private var plugin: any PluginCalls {
    get throws(WireFault) {
      guard let instance else { throw WireFault(problem: "no plugin was made") }
      return instance
    }
  }

  private func create(_ wire: inout WireReader) throws -> [String] {
    let (mebibytes, path, source): (Int, String, [UInt8]) = (try wire.get(), try wire.get(), try wire.get())
    let (parameters, model): ([BoundParameter], ModelFacts) = (try wire.get(), try wire.get())
    let (edits, readings): ([UInt32], [UInt32]) = (try wire.get(), try wire.get())
    let manifest = try PluginManifest(json: Data(source), path: path)
    let object = try SharedObject(inherited: library, path: manifest.libraryPath)
    let held = sandbox(mebibytes)
    switch manifest.grade {
    case .sdk:
      let services = services(
        Set(edits.compactMap(EditRequest.Operation.init)), Set(readings.compactMap(ReadingRequest.Operation.init)))
      instance = try PluginInstance(
        PluginLibrary.load(manifest, object), parameters: parameters, model: model, services: services)
    case .python: throw WireFault(problem: "a program in Python has a worker of another kind")
    case .plain:
      instance = try PlainInstance(PlainFunction.load(manifest, object, proof: .here), parameters: parameters)
    }
    return held
  }

  // MARK: what the plugin asks of its host

  private struct Refusal: Error, CustomStringConvertible { let description: String }

  private func services(
    _ edits: Set<EditRequest.Operation>, _ readings: Set<ReadingRequest.Operation>
  ) -> HostServices {
    HostServices(
      log: { [channel] level, text in channel.sendLog(level.rawValue, text) },
      emit: { [unowned self] lane, table, columns in
        var answer = try ask(.emit, lane, table, columns)
        if let refusal: String = try answer.get() { throw Refusal(description: refusal) }
      },
      randomKey: { [unowned self] lane in try randomKey(of: lane) },
      select: { [unowned self] tower, selector in
        var answer = try ask(.select, tower, selector)
        if let refusal: String = try answer.get() { throw Refusal(description: refusal) }
        return try answer.get()
      },
      editOperations: edits, readingOperations: readings)
  }

  private func ask(_ question: WorkerChannel.Kind, _ values: any Wire...) throws -> WireReader {
    var message = WireWriter()
    for value in values { message.put(value) }
    try channel.send(question, message)
    guard case .message(.answer, let answer) = try channel.receive() else {
      throw WireFault(problem: "no answer came")
    }
    return answer
  }

  private func randomKey(of lane: UInt32) throws -> SIMD2<UInt32> {
    if let key = keys[lane] { return key }
    var answer = try ask(.randomKey, lane)
    if let refusal: String = try answer.get() { throw Refusal(description: refusal) }
    let key: SIMD2<UInt32> = try answer.get()
    keys[lane] = key
    return key
  }
}
