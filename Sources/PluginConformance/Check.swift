/// What `ablate plugin check` tries on a plugin, each in a process of its own. The names are what `--only` takes.
package enum Check: String, CaseIterable, Sendable {
  case manifest, library, note, symbols
  case load
  case knownAnswer = "known-answer"
  case entry, create, plan, determinism, lifecycle
  case newerHost = "newer-host"
  case views, edges, offset, lanes
  case badNumbers = "bad-numbers"
  case noChange = "no-change"
  case memory
  case noMemory = "no-memory"
  case cancel, manners
  case state

  /// What holds where it passes.
  package var promise: String {
    switch self {
    case .manifest: "plugin.json is complete, and says nothing that this host does not know"
    case .library:
      "the file is a shared library of this machine, whole, with the function that plugin.json promises; or a program text"
    case .note: "the library carries the plugin.json that lies beside it"
    case .symbols: "it exports no symbol that would be shared with other plugins"
    case .load: "loading it prints nothing and changes nothing in the process"
    case .knownAnswer: "the plain function gives the known answer, whatever the registers held before"
    case .entry: "the entry gives the same tables each time, and they agree with plugin.json"
    case .create: "it is made with the least and the greatest value of each parameter, or refuses in words"
    case .plan: "its plan is the same each time, within the footprint, and what an event needs is there"
    case .determinism: "equal input gives equal bits, in the view and in what is emitted"
    case .lifecycle: "calls come in every allowed order, and instances do not know each other"
    case .newerHost: "longer structs of a later host change nothing"
    case .views: "no byte beside a view is touched, and none of a view that may only be read"
    case .edges: "no row, one row and the last block of several are right"
    case .offset: "the view's byte_offset is heeded"
    case .lanes: "a lane's numbers do not depend on its neighbours in the event"
    case .badNumbers: "NaN, infinities, huge and tiny numbers are survived"
    case .noChange: "a plugin that expects no change changes no bit"
    case .memory: "what is made is given back: 300 lives grow nothing"
    case .noMemory: "a host without memory gets an error, not a crash"
    case .cancel: "a cancelled call comes back"
    case .manners: "a whole life leaves floating-point mode, locale, folder, umask, signals and streams alone"
    case .state: "what a probe has learned is the same once saved and loaded; bytes that it did not save are refused"
    }
  }
}

extension Check {
  /// Whether it says something of a plugin in Python, which has no library and a process of its own.
  var concernsPython: Bool {
    switch self {
    case .manifest, .library, .create, .plan, .determinism, .views, .edges, .lanes, .badNumbers, .noChange, .state: true
    default: false
    }
  }
}

/// How a check ended.
package enum Verdict: Equatable, Sendable {
  case passed
  case failed(String)
  /// It does not apply to this plugin; why.
  case skipped(String)
}

/// What a check found wrong, or why it has nothing to look at.
enum Finding: Error {
  case fault(String)
  case notApplicable(String)
}
