import CShims
import Diagnostics
import Glibc
import PluginRuntime

/// The checks themselves. Each runs in a process of its own, which a bad plugin may take with it.
package struct CheckedPlugin {
  private let path: String
  private let given: [String: GivenValue]
  private let seed: UInt64

  /// - Parameters:
  ///   - path: of its plugin.json.
  ///   - given: parameters; required ones that are missing come from golden.json, or from their bounds.
  ///   - seed: of everything that is drawn.
  package init(path: String, given: [String: GivenValue], seed: UInt64) {
    (self.path, self.given, self.seed) = (path, given, seed)
  }

  package func run(_ check: Check) -> Verdict {
    do {
      try perform(check)
      return .passed
    } catch let error as PluginError {
      return .failed("\(error)")
    } catch let finding as Finding {
      switch finding {
      case .fault(let text): return .failed(text)
      case .notApplicable(let why): return .skipped(why)
      }
    } catch { return .failed("\(error)") }
  }

  private func perform(_ check: Check) throws {
    let manifest = try PluginManifest(path: path)
    if manifest.grade == .python, !check.concernsPython { throw Finding.notApplicable("it is in Python") }
    switch check {
    case .manifest: break
    case .library: try checkLibrary(manifest)
    case .note: try checkNote(manifest)
    case .symbols: try checkSymbols(manifest)
    case .load: try checkLoad(manifest)
    case .knownAnswer:
      guard manifest.grade == .plain else { throw Finding.notApplicable("it is no plain function") }
      _ = try PlainFunction.open(manifest)
    default: try checkLife(check, PluginUnderTest(manifest, given: given))
    }
  }

  private func checkLibrary(_ manifest: PluginManifest) throws {
    // A note that differs is for the check `note` to say.
    do { _ = try PluginDossier(manifest) } catch PluginError.library(_, .otherManifest) { return }
  }

  private func checkNote(_ manifest: PluginManifest) throws {
    let object = try SharedObject(path: manifest.libraryPath)
    guard object.image.manifestNote != nil else {
      throw Finding.notApplicable("it carries none; link ablate_note.S into it")
    }
    try object.requireManifest(manifest)
  }

  /// glibc gives one address to all symbols of this binding and name, RTLD_LOCAL or not, and never unloads their library.
  private func checkSymbols(_ manifest: PluginManifest) throws {
    let unique = try manifest.checkedLibrary().image.symbols.filter { $0.binding == 10 }.map(\.name)
    guard unique.isEmpty else {
      throw Finding.fault(
        "\(unique.sorted()[0]) is shared by all libraries that have it (STB_GNU_UNIQUE): compile with -fvisibility=hidden"
      )
    }
  }

  private func checkLoad(_ manifest: PluginManifest) throws {
    let object = try manifest.checkedLibrary()
    let before = ProcessState()
    _ = try object.load(manifest.plain?.symbol ?? ABI.entry)
    try expectUnchanged(since: before, by: "loading it")
  }

  private func expectUnchanged(since before: ProcessState, by what: String) throws {
    let changes = ProcessState().changes(since: before)
    guard changes.isEmpty else { throw Finding.fault("\(what) changed \(changes.joined(separator: ", "))") }
    fflush(nil)
    var facts = stat()
    guard fstat(1, &facts) != 0 || facts.st_mode & S_IFMT != S_IFREG || facts.st_size == 0 else {
      throw Finding.fault("\(what) printed on standard output; host->log is the place for words")
    }
  }
}

extension CheckedPlugin {
  private func checkLife(_ check: Check, _ plugin: PluginUnderTest) throws {
    switch check {
    case .entry: try checkEntry(plugin)
    case .create: try plugin.manifest.grade == .python ? checkPythonCreate(plugin) : checkCreate(plugin)
    case .plan: try plugin.manifest.grade == .python ? checkPythonPlan(plugin) : checkPlan(plugin)
    case .lifecycle: try checkLifecycle(plugin)
    case .newerHost:
      let today = try life { $0.lanes = [1, 2] }.run(plugin)
      let later = try life { ($0.lanes, $0.host.growth) = ([1, 2], 64) }.run(plugin)
      try expect(later, like: today, of: plugin, "in a host with longer structs")
    case .views:
      for placement in [ViewMemory.Placement.open, .guardedBehind, .guardedBefore] {
        _ = try life { ($0.placement, $0.watchesMemory) = (placement, true) }.run(plugin)
      }
    case .edges:
      for blocks in [[0..<0], [0..<1], [0..<2, 2..<99]] { _ = try life { $0.blocks = blocks }.run(plugin) }
    case .offset: try compare(plugin, "with byte_offset 64") { $0.byteOffset = 64 }
    case .determinism: try compare(plugin, "the second time") { _ in }
    case .lanes: try checkLanes(plugin)
    case .badNumbers:
      let extremes: [[Float]] = [[.nan], [.infinity, -.infinity], [3e38, -3e38], [1e-45, -1e-40], [0, .nan, 1]]
      for numbers in extremes {
        _ = try life { ($0.numbers, $0.mayFail) = (numbers, true) }.run(plugin)
      }
    case .noChange: try checkNoChange(plugin)
    case .memory: try checkMemory(plugin)
    case .noMemory: try checkNoMemory(plugin)
    case .cancel: _ = try life { ($0.host.isCancelled, $0.mayFail) = (true, true) }.run(plugin)
    case .manners:
      let before = ProcessState()
      _ = try life { _ in }.run(plugin)
      try expectUnchanged(since: before, by: "a life of it")
    case .state: try LearnedState(plugin, seed: seed).check()
    case .manifest, .library, .note, .symbols, .load, .knownAnswer: break
    }
  }

  private func life(_ vary: (inout Life) -> Void) -> Life {
    var life = Life(seed: seed)
    vary(&life)
    return life
  }

  private func sdk(_ plugin: PluginUnderTest) throws(Finding) -> PluginLibrary {
    guard case .sdk(let library) = plugin.code else { throw .notApplicable("it is a plain function") }
    return library
  }

  /// A life that is varied leaves the bits of one that is not.
  private func compare(_ plugin: PluginUnderTest, _ words: String, _ vary: (inout Life) -> Void) throws {
    try expect(life(vary).run(plugin), like: life { _ in }.run(plugin), of: plugin, words)
  }

  private func expect(_ record: Record, like other: Record, of plugin: PluginUnderTest, _ words: String) throws {
    guard plugin.isDeterministic else { throw Finding.notApplicable(Self.anyNumbers) }
    guard record.views == other.views else { throw Finding.fault("\(words) its views have other bits") }
    guard record.emitted == other.emitted else { throw Finding.fault("\(words) it emits something else") }
  }

  private static let anyNumbers = "its numbers need not be the same twice (determinism 0)"

  private func checkEntry(_ plugin: PluginUnderTest) throws {
    let first = try sdk(plugin)
    guard try PluginLibrary.open(plugin.manifest).plugin == first.plugin else {
      throw Finding.fault("the entry gave other tables the second time; they must be static")
    }
  }

  private func checkCreate(_ plugin: PluginUnderTest) throws {
    let library = try sdk(plugin)
    let (made, words) = try Subject.make(library, plugin.parameters)
    guard made != nil else { throw Finding.fault("create refuses ordinary parameters: \(words)") }
    for (i, parameter) in plugin.parameters.enumerated() {
      guard let spec = plugin.manifest.params.first(where: { $0.id == parameter.id }) else { continue }
      for value in spec.extremes {
        var parameters = plugin.parameters
        parameters[i].value = value
        let (made, words) = try Subject.make(library, parameters)
        guard made != nil || !words.isEmpty else {
          throw Finding.fault("create refuses \(spec.id) = \(value.spelled) without a word")
        }
      }
    }
  }

  private func checkPlan(_ plugin: PluginUnderTest) throws {
    guard let subject = try Subject.make(sdk(plugin), plugin.parameters).subject else { return }
    let plan = try subject.plan(item: false)
    guard try subject.plan(item: false) == plan else { throw Finding.fault("two plans of one instance differ") }
    let ofItem = plan.perItem ? try subject.plan(item: true) : plan
    try ofItem.checkFootprint(plugin.manifest)
    guard ofItem.accesses.isEmpty || subject.functions.on_event != nil else {
      throw Finding.fault("it asks for accesses, but has no on_event")
    }
    _ = try Visit.all(of: ofItem)
    try subject.begin(0)
    let later = plan.perItem ? try subject.plan(item: true) : ofItem
    guard later == ofItem else {
      throw Finding.fault("the plan of an item changes once its lane is open")
    }
  }

  /// Two instances with lanes that open and close in a drawn order, some never closed.
  private func checkLifecycle(_ plugin: PluginUnderTest) throws {
    let library = try sdk(plugin)
    let alone = try life { $0.lanes = [1] }.run(plugin)
    var words = [UInt32](repeating: 0, count: 256)
    words.withUnsafeMutableBufferPointer {
      Philox.fill($0, key: SIMD2(UInt32(truncatingIfNeeded: seed), 99), stream: 0, first: 0)
    }
    var open: [(subject: Subject, plan: PlanRequest, lanes: [UInt32])] = []
    for word in words {
      switch word % 5 {
      case 0 where open.count < 4:
        guard let subject = try Subject.make(library, plugin.parameters).subject else { return }
        let plan = try subject.plan(item: false)
        open.append((subject, plan.perItem ? try subject.plan(item: true) : plan, []))
      case 1 where !open.isEmpty, 2 where !open.isEmpty:
        let i = Int(word >> 8) % open.count
        let lane = (open[i].lanes.max() ?? 0) + 1
        try open[i].subject.begin(lane)
        open[i].lanes.append(lane)
      case 3 where !open.isEmpty:
        let i = Int(word >> 8) % open.count
        guard !open[i].lanes.isEmpty else { continue }
        try open[i].subject.end(
          open[i].lanes.remove(at: Int(word >> 16) % open[i].lanes.count), answering: open[i].plan)
      case 4 where open.count > 1: open.remove(at: Int(word >> 8) % open.count).subject.destroy()
      default: continue
      }
    }
    let among = try life { $0.lanes = [1] }.run(plugin)
    guard among == alone || !plugin.isDeterministic else {
      throw Finding.fault("an instance gives other numbers while others are alive")
    }
  }

  private func checkLanes(_ plugin: PluginUnderTest) throws {
    let (one, two) = (try life { $0.lanes = [1] }.run(plugin), try life { $0.lanes = [2] }.run(plugin))
    let both = try life { $0.lanes = [1, 2] }.run(plugin)
    guard plugin.isDeterministic else { throw Finding.notApplicable(Self.anyNumbers) }
    guard both.lane(1) == one, both.lane(2) == two else {
      throw Finding.fault("a lane has other numbers beside another lane than alone")
    }
  }

  private func checkNoChange(_ plugin: PluginUnderTest) throws {
    guard plugin.manifest.expectsNoChange else { throw Finding.notApplicable("it may change what it sees") }
    let before = try life { _ in }.inputs(plugin)
    guard try life({ _ in }).run(plugin).views == before else { throw Finding.fault("it changed bits") }
  }

  /// malloc keeps freed blocks of the first lives in hand and counts them as given out, so that only a growth that goes on counts.
  private func checkMemory(_ plugin: PluginUnderTest) throws {
    var inUse: [Int] = []
    for _ in 0..<6 {
      for _ in 0..<50 { _ = try life { _ in }.run(plugin) }
      inUse.append(ablate_heap_bytes())
    }
    let smallestBlock = 32
    let growth = zip(inUse.dropFirst(), inUse).map { $0 - $1 }.min() ?? 0
    guard growth < 50 * smallestBlock else {
      throw Finding.fault("each life leaves \(growth / 50) bytes that are never freed")
    }
  }

  private func checkNoMemory(_ plugin: PluginUnderTest) throws {
    _ = try sdk(plugin)
    var calls = 0
    while calls < 64 {
      calls += 1
      let settings = CheckingHost.Settings(failsFromAllocation: calls)
      let used = try life { ($0.host, $0.mayFail) = (settings, true) }.allocations(plugin)
      if used < calls { break }
    }
    if calls == 1 { throw Finding.notApplicable("it asks the host for no memory") }
  }
}
