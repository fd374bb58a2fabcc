import Diagnostics

/// What can be wrong with a plugin, from its name in a manifest to its last call.
package enum PluginError: DiagnosedError, Equatable {
  /// No folder of this name on the search path.
  case notFound(name: String, lookedIn: [String], near: String?)
  case missing(path: String, remedy: String)
  /// `plugin.json`: `at` is the key path.
  case manifest(path: String, at: String, problem: String, remedy: String = "")
  /// A parameter as the user gave it.
  case parameter(plugin: String, parameter: String, problem: String, remedy: String = "")
  /// A library that is refused before, or while, it is loaded.
  case library(path: String, fault: LibraryFault)
  /// A field of the tables behind the entry symbol that breaks the rules of `ablate_plugin.h`.
  case descriptor(path: String, field: String, problem: String)
  /// The tables and `plugin.json` disagree.
  case mismatch(path: String, field: String, library: String, manifest: String)
  /// A plain function's signature or its bindings.
  case signature(path: String, at: String, problem: String)
  case knownAnswer(path: String, symbol: String, fault: KnownAnswerFault)
  /// The program that a plugin's language needs.
  case interpreter(path: String, problem: String, remedy: String)
  /// An environment variable of the host.
  case setting(name: String, problem: String)
  /// This kernel lacks what holds a plugin that nobody vouches for.
  case sandbox(plugin: String, lacking: [String])
  /// A call into the plugin gave an error, or broke the contract. `at` is the function, hook point or trial.
  case failed(plugin: String, at: String, reason: String)
  /// A plan asks for what the manifest's footprint does not name, or for what the model does not have.
  case planOutside(plugin: String, request: String, problem: String)

  package var diagnosis: Diagnosis {
    switch self {
    case .notFound(let name, let lookedIn, let near):
      Diagnosis(
        "no plugin named '\(name)'; looked in \(lookedIn.joined(separator: ", "))",
        remedy: near.map { "did you mean '\($0)'?" } ?? "give a path with a '/', or set ABLATE_PLUGIN_PATH",
        exit: .missingInput)
    case .missing(let path, let remedy):
      Diagnosis("no such file", at: path, remedy: remedy, exit: .missingInput)
    case .manifest(let path, let at, let problem, let remedy):
      Diagnosis(problem, at: at.isEmpty ? path : "\(path): \(at)", remedy: remedy, exit: .badData)
    case .parameter(let plugin, let parameter, let problem, let remedy):
      Diagnosis(problem, at: "plugin \(plugin), parameter \(parameter)", remedy: remedy, exit: .badData)
    case .library(let path, let fault):
      Diagnosis(fault.problem, at: path, remedy: fault.remedy, exit: .pluginFailure)
    case .descriptor(let path, let field, let problem):
      Diagnosis(
        problem, at: "\(path): \(field)", remedy: "build it against this host's ablate_plugin.h", exit: .pluginFailure)
    case .mismatch(let path, let field, let library, let manifest):
      Diagnosis(
        "the library says \(field) = \(library), plugin.json says \(manifest)", at: path,
        remedy: "rebuild the plugin, or correct its plugin.json", exit: .pluginFailure)
    case .signature(let path, let at, let problem):
      Diagnosis(problem, at: "\(path): \(at)", remedy: #"for example "i32(f32*[n]:rw, i64 n, f32 a)""#, exit: .badData)
    case .knownAnswer(let path, let symbol, let fault):
      Diagnosis(
        "known-answer test of '\(symbol)' failed: \(fault.problem)", at: path,
        remedy: "check the signature in plugin.json against the function's source", exit: .pluginFailure)
    case .interpreter(let path, let problem, let remedy):
      Diagnosis(problem, at: path, remedy: remedy, exit: .missingInput)
    case .setting(let name, let problem):
      Diagnosis(problem, at: "$\(name)", remedy: "set it to a number, or leave it out", exit: .usage)
    case .sandbox(let plugin, let lacking):
      Diagnosis(
        "is neither bundled, pinned nor signed by a known key, and this kernel cannot hold it: no \(lacking.joined(separator: ", "))",
        at: "plugin \(plugin)",
        remedy: "ablate plugin lock pins what you trust; --worker takes the worker as it is, --in-process none",
        exit: .pluginFailure)
    case .failed(let plugin, let at, let reason):
      Diagnosis(reason, at: "plugin \(plugin), \(at)", exit: .pluginFailure)
    case .planOutside(let plugin, let request, let problem):
      Diagnosis(
        "\(request): \(problem)", at: "plugin \(plugin), plan",
        remedy: "widen the footprint in its plugin.json, or narrow the plan", exit: .pluginFailure)
    }
  }
}

/// Why a shared library was not loaded.
package enum LibraryFault: Error, Equatable {
  case notAFile
  case symbolicLink
  /// It belongs neither to this user, nor to root, nor to who owns this program.
  case foreign(owner: UInt32)
  /// No program text.
  case notText
  /// Everybody may write to the file, or to a folder on the way to it.
  case writable(String)
  case tooLarge(bytes: Int, cap: Int)
  case notELF(String)
  case truncated(String)
  case wrongMachine(found: String, host: String)
  /// Well-formed ELF, but no shared library for this machine.
  case unsupported(String)
  /// The ELF notes, of which one may hold the plugin.json that the library was built from.
  case badNote(String)
  /// That plugin.json says other things than the one beside the library.
  case otherManifest([String])
  /// It needs a library that plugins may not need.
  case dependency(String)
  case newerGlibc(needed: String, here: String)
  case noEntry(String)
  case otherABI(exported: String, host: String)
  case notAFunction(symbol: String, found: String)
  case dlopen(String)
  /// The entry gave NULL; its own words, if it had any.
  case refused(String)

  var problem: String {
    switch self {
    case .notAFile: "is not a regular file"
    case .symbolicLink: "is a symbolic link"
    case .foreign(let owner): "belongs to another user (uid \(owner)), who can change it at any time"
    case .notText: "is no program text in UTF-8"
    case .writable(let what): "may be changed by everybody: \(what) is writable for all"
    case .tooLarge(let bytes, let cap): "is \(bytes) bytes; the host loads at most \(cap)"
    case .notELF(let why): "is not an ELF shared library: \(why)"
    case .truncated(let why): "is truncated: \(why)"
    case .wrongMachine(let found, let host): "is built for \(found); this machine is \(host)"
    case .unsupported(let why): "cannot be loaded: \(why)"
    case .badNote(let why): "has a broken note: \(why)"
    case .otherManifest(let differences):
      "was built from another plugin.json than the one beside it: \(differences.joined(separator: "; "))"
    case .dependency(let name): "needs \(name), which is not among the libraries that plugins may need"
    case .newerGlibc(let needed, let here): "needs \(needed); this machine has glibc \(here)"
    case .noEntry(let symbol): "does not export \(symbol)"
    case .otherABI(let exported, let host): "exports \(exported); this host speaks \(host)"
    case .notAFunction(let symbol, let found): "'\(symbol)' is \(found), not an exported function"
    case .dlopen(let why): "could not be loaded: \(why)"
    case .refused(let why): "refused this host: \(why.isEmpty ? "it gave no reason" : why)"
    }
  }

  var remedy: String {
    switch self {
    case .notAFile, .tooLarge: ""
    case .symbolicLink: "copy the library into the plugin's folder"
    case .foreign: "make it yours: copy the plugin's folder, or have it as a pack (ablate plugin pack, install)"
    case .notText: "name the plugin's source as its library"
    case .writable(let what): "chmod o-w \(what)"
    case .dependency: "link it into the plugin (a static library)"
    case .newerGlibc: "build it on a system as old as this one"
    case .notELF: "build the plugin again (make plugins)"
    case .truncated: "copy or build it again"
    case .wrongMachine, .otherABI: "build it from source for this machine and this host's ablate_plugin.h"
    case .badNote: "assemble ablate_note.S again and link it in"
    case .otherManifest: "rebuild the plugin, or bring back its plugin.json"
    case .unsupported: "build with -shared -fPIC"
    case .noEntry: "mark the entry ABLATE_EXPORT, or write \"grade\": \"plain\" for a plain C function"
    case .notAFunction: "export it with default visibility"
    case .dlopen: "install what it needs, or link it into the plugin"
    case .refused: ""
    }
  }
}

/// How a plain function failed its known-answer test in the child process, or in the worker.
package enum KnownAnswerFault: Equatable, Sendable {
  case crashed(signal: Int32)
  case left(status: Int32)
  case hung(seconds: Double)
  /// The worker did, in words.
  case ended(String)
  case status(Int64)
  case wrong(index: Int, got: Float, expected: Float)
  case wroteBefore(offset: Int)
  case wroteBehind(offset: Int)
  case notRun(String)

  var problem: String {
    switch self {
    case .crashed(let signal): ProcessEnd.signal(signal).words
    case .left(let status): ProcessEnd.status(status).words
    case .hung(let seconds): ProcessEnd.hung(seconds: seconds).words
    case .ended(let words): words
    case .status(let status): "it returned \(status), not 0"
    case .wrong(let index, let got, let expected): "element \(index) is \(got), expected \(expected)"
    case .wroteBefore(let offset): "it wrote \(offset) bytes before the view"
    case .wroteBehind(let offset): "it wrote \(offset) bytes behind the view"
    case .notRun(let why): "it could not be run: \(why)"
    }
  }
}
