import ArgumentParser
import Diagnostics
import Foundation
import PluginRuntime

struct PluginNewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract:
      "A folder with a small working plugin, which `make` builds and `ablate plugin check` passes. Python needs no building."
  )

  @Argument(help: "The plugin's name, or the path of the folder to make; its last part becomes the name.")
  var name: String
  @Option(help: "c, cpp, swift, rust or python.") var language: PluginLanguage
  @Option(help: "intervention, probe, edits (an ablation said as data) or plain (a C function, no header).")
  var kind = PluginKind.intervention

  func run() throws {
    let id = (name as NSString).lastPathComponent
    guard id.wholeMatch(of: /[a-z][a-z0-9_.-]*/) != nil else { throw NewPluginError.name(id) }
    guard language != .python || kind != .plain else { throw NewPluginError.plainPython }
    guard !FileManager.default.fileExists(atPath: name) else { throw NewPluginError.exists(name) }
    try PluginTemplate(id: id, language: language, kind: kind).write(to: name)
    let build = language == .python ? "" : "  build it: make -C \(name)\n"
    print("made \(name)\n\(build)  try it:   ablate plugin check \(name.contains("/") ? name : "./\(name)")")
  }
}

enum PluginLanguage: String, CaseIterable, ExpressibleByArgument { case c, cpp, swift, rust, python }

enum PluginKind: String, CaseIterable, ExpressibleByArgument { case intervention, probe, edits, plain }

private enum NewPluginError: DiagnosedError {
  case name(String)
  case exists(String)
  case plainPython

  var diagnosis: Diagnosis {
    switch self {
    case .name(let name):
      Diagnosis(
        "'\(name)' is no name for a plugin", at: "command line",
        remedy: "begin with a-z, go on with a-z, 0-9, '-', '_' and '.'", exit: .usage)
    case .exists(let path):
      Diagnosis("there is something already", at: path, remedy: "choose another name", exit: .usage)
    case .plainPython:
      Diagnosis(
        "a plain function is one of a shared library, which Python has not", at: "--kind plain",
        remedy: "take --kind intervention, or write it in c, cpp, swift or rust", exit: .usage)
    }
  }
}

/// The files of a new plugin. A template is one text for all kinds of a language: a line `//? probe edits` says for which kinds (or,
/// in the Makefile, languages) the lines behind it are, until the next such line; `//?` alone: for all.
private struct PluginTemplate {
  let id: String
  let language: PluginLanguage
  let kind: PluginKind

  /// A folder that is there is whole.
  func write(to folder: String) throws {
    let fresh = folder + ".new"
    try? FileManager.default.removeItem(atPath: fresh)
    try FileManager.default.createDirectory(atPath: fresh, withIntermediateDirectories: true)
    for (file, text) in files { try Data(text.utf8).write(to: URL(fileURLWithPath: "\(fresh)/\(file)")) }
    try FileManager.default.moveItem(atPath: fresh, toPath: folder)
  }

  private var files: [(name: String, text: String)] {
    let common = [
      ("plugin.json", filled(PackageResources.plugin_json_txt)), ("golden.json", "{\"ablate\": 1, \"cases\": []}\n"),
    ]
    if language == .python { return common + [("\(id).py", filled(PackageResources.plugin_py_txt))] }
    let built = [
      ("Makefile", filled(PackageResources.Makefile_txt)),
      ("ablate_note.S", String(decoding: PackageResources.ablate_note_S_txt, as: UTF8.self)),
    ]
    let header = ("ablate_plugin.h", String(decoding: PackageResources.ablate_plugin_h, as: UTF8.self))
    let own: [(String, String)] =
      switch language {
      case .python: []
      case .c: [("\(id).c", filled(PackageResources.plugin_c_txt)), header]
      case .cpp: [("\(id).cc", filled(PackageResources.plugin_cc_txt)), header]
      case .swift:
        [
          ("\(id).swift", filled(PackageResources.plugin_swift_txt)), header,
          ("module.modulemap", "module PluginABI {\n  header \"ablate_plugin.h\"\n  export *\n}\n"),
        ]
      case .rust:
        [
          ("\(id).rs", filled(PackageResources.plugin_rs_txt)),
          ("ablate_plugin.rs", String(decoding: PackageResources.ablate_plugin_rs, as: UTF8.self)),
        ]
      }
    return common + built + own
  }

  private func filled(_ template: [UInt8]) -> String {
    var isMine = true
    var lines: [Substring] = []
    for line in String(decoding: template, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
      guard line.hasPrefix("//?") else {
        if isMine { lines.append(line) }
        continue
      }
      let words = line.dropFirst(3).split(separator: " ").map(String.init)
      isMine = words.isEmpty || words.contains(kind.rawValue) || words.contains(language.rawValue)
    }
    let name = id.map { $0.isLetter || $0.isNumber ? String($0) : "_" }.joined()
    return lines.joined(separator: "\n").replacing("@ID@", with: id).replacing("@NAME@", with: name)
      .replacing("@PARAMS@", with: kind == .probe ? "2" : "3")
      .replacing("@GRADE@", with: language == .python ? "python" : kind == .plain ? "plain" : "sdk")
      .replacing("@FILE@", with: language == .python ? "\(id).py" : "\(id).so")
  }
}
