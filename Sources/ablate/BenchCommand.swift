import ArgumentParser
import Checkpoints
import Foundation
import Models
import PluginHost
import Tensors

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Times the forward pass of a model, with and without plugins, against this machine's measured peak.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var example: ExampleOptions
  @OptionGroup var plugins: PluginOptions
  @Option(help: "Forward passes; the median counts.") var repeats = 7
  @Flag(
    help: "One turn for each line of standard input, a workload or 'hooked': to alternate with other programs.")
  var paced = false
  @Option(help: "With --paced: a safetensors file for what each workload's first part gives.")
  var logits: String?
  @Option(help: "A workload against the clean pass instead; 'heads:64': only so many of its conditions.")
  var sweep: BenchWorkload?

  func validate() throws {
    guard (1...1_000_000).contains(repeats) else { throw ValidationError("--repeats must lie in 1...1000000") }
  }

  func run() throws {
    try example.check()
    let specs = try plugins.specs()
    let model = try model.open()
    let input = try example.input(model)
    if let sweep { return try sweep.measure(model, input, repeats: repeats) }
    let (clean, hooked) = (try session(model, [], reuse: false), try session(model, specs, reuse: false))
    if paced { return try runPaced(hooked, input) }
    // The first round compiles kernels and does not count; the two kinds alternate.
    let rounds = try (0...repeats).map { _ in (clean: try time(clean, input), hooked: try time(hooked, input)) }
      .dropFirst()
    try tellClean(model, input, milliseconds: median(rounds.map(\.clean.milliseconds)))
    if !specs.isEmpty { tellPlugins(hooked, Array(rounds)) }
  }

  private func tellClean(_ model: VisionLanguageModel, _ input: ModelInput, milliseconds: Double) throws {
    let giga = 2e-9 * Double(model.multiplyAdds(input))
    let peak = try productGigaflops(model.engine, model.dtype)
    print(
      "threads \(engineThreads), oneDNN \(Engine.provenance.version) \(Engine.provenance.isa), kernels \(model.engine.kernels)"
    )
    let product = "\(model.dtype.rawValue) product of 1024 x 4096 x 4096"
    print(String(format: "peak   %.0f GFLOP/s at best, %.0f kept up for 3 s (%@)", peak.best, peak.keptUp, product))
    let reached = giga / milliseconds * 1e3
    print(
      String(
        format: "clean  %.2f ms, %.2f GFLOP, %.0f GFLOP/s, %.0f %% of the best, %.0f %% of what is kept up",
        milliseconds, giga, reached, reached / peak.best * 100, reached / peak.keptUp * 100))
  }

  /// What plugins add to the clean pass of their own round, as a share of it: a machine that slows down slows both.
  private func tellPlugins(_ session: Session, _ rounds: [(clean: Pass, hooked: Pass)]) {
    let extra = rounds.map { $0.hooked.milliseconds - $0.clean.milliseconds }
    let shares = zip(extra, rounds).map { $0 / $1.clean.milliseconds * 100 }.sorted()
    let visits = rounds[0].hooked.visits
    print(
      String(
        format: "plugin %.2f ms, %+.2f %% of a clean pass (%+.2f to %+.2f); %d visits, %.0f ns each",
        median(rounds.map(\.hooked.milliseconds)), median(shares), shares[0], shares[shares.count - 1], visits,
        median(extra) * 1e6 / Double(max(1, visits))))
    for (plugin, placement) in session.placements { print("       \(plugin): \(placement)") }
  }

  private func runPaced(_ hooked: Session, _ input: ModelInput) throws {
    // Past print's buffer: somebody waits for it.
    func tell(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
    if let logits {
      let firsts = try BenchWorkload.allValueStrings.compactMap { name in
        try BenchWorkload(argument: name + ":1").map { (name: name, tensor: try $0.work(hooked.model, input).run()) }
      }
      try writeSafetensors(firsts, metadata: [:], to: logits)
    }
    tell("ready")
    while let line = readLine() {
      if line == "hooked" {
        tell("\(try time(hooked, input).milliseconds)")
      } else if let workload = BenchWorkload(argument: line) {
        tell("\(try workload.milliseconds(hooked.model, input))")
      } else {
        let known = ["hooked"] + BenchWorkload.allValueStrings
        throw ValidationError("'\(line)' is no workload: " + known.joined(separator: ", "))
      }
    }
  }

  /// One forward pass and what plugins had of it.
  private typealias Pass = (milliseconds: Double, visits: Int)

  private func time(_ session: Session, _ input: ModelInput) throws -> Pass {
    let start = ContinuousClock.now
    let outcome = try session.run(
      Item(id: "bench", index: 0, input: input), conditions: ["condition"], .init(outputRows: [input.ids.count - 1]))[0]
    let seconds = Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e6
    try check(outcome)
    return (seconds, outcome.receipts.reduce(0) { $0 + $1.visitsMade })
  }

  private func median(_ values: some Collection<Double>) -> Double { values.sorted()[values.count / 2] }

  /// What the engine's own product reaches on a shape that suits it: at best, and over three seconds, which is what a pass can have.
  private func productGigaflops(_ engine: Engine, _ type: ComputeType) throws -> (best: Double, keptUp: Double) {
    let (m, n, k) = (1024, 4096, 4096)
    let weight = Tensor(Array(repeating: 0.5, count: n * k), shape: [n, k])
    let linear = try Linear(weight.stored, outputs: n, inputs: k, bias: nil, type: type, on: engine)
    let (x, y) = (Tensor(zeros: [m, k]), Tensor(zeros: [m, n]))
    try linear(x.base, rows: m, into: y.base)  // compiles the kernel
    let start = ContinuousClock.now
    var (nanoseconds, last): ([Double], ContinuousClock.Instant) = ([], start)
    while last - start < .seconds(3) {
      try linear(x.base, rows: m, into: y.base)
      let now = ContinuousClock.now
      nanoseconds.append((now - last) / .nanoseconds(1))
      last = now
    }
    let work = 2 * Double(m * n * k)
    let mean = nanoseconds.reduce(0, +) / Double(nanoseconds.count)
    return (work / (nanoseconds.min() ?? 1), work / mean)
  }
}
