import Foundation
import Mustache

/// One self-contained HTML file as its template sees it. Everything is text: the template escapes what it is given, except
/// for the drawings, the style and the script, which are this program's own.
struct Page {
  var title: String
  var headline: String
  var version: String
  var warnings: [String]
  var findings: [FindingRow]
  var findingsNote: String
  var sections: [Section]
  let style = Page.resource(PackageResources.report_css)
  let script = Page.resource(PackageResources.report_js)

  struct FindingRow {
    var kind: String
    var verdict: String
    var sentence: String
  }

  struct Link {
    var anchor: String
    var text: String
  }

  struct Section {
    var anchor: String
    var title: String
    var intro: String?
    var figures: [Plot] = []
    var gallery: [Gallery] = []
    var tables: [Table] = []
    var texts: [Text] = []

    var isEmpty: Bool { figures.isEmpty && gallery.isEmpty && tables.isEmpty && texts.isEmpty }
  }

  struct Plot {
    var svg: String
    var alternative: String
    var caption: String
    var files: String

    init(_ figure: Figure) {
      svg = figure.drawing.inline(title: figure.title)
      alternative = figure.title
      caption = figure.caption
      files = "figures/\(figure.name).svg, .csv"
    }
  }

  struct Table {
    var caption: String
    var header: [String]
    var rows: [Row]
    var note: String?
    var sortable = false

    struct Row {
      var name: String
      var cells: [String]
    }

    init(_ table: TextTable, caption: String, note: String? = nil, sortable: Bool = false) {
      (self.caption, self.note, self.sortable) = (caption, note, sortable)
      header = table.header
      rows = table.rows.map { Row(name: $0.first ?? "", cells: Array($0.dropFirst())) }
    }
  }

  struct Text {
    var title: String
    var text: String
  }

  /// What the template is rendered with: Mustache looks at stored properties only.
  private struct Context {
    let title, headline, version, findingsNote, style, script: String
    let links: [Link]
    let warnings: [String]
    let findings: [FindingRow]
    let hasWarnings, hasFindings: Bool
    let sections: [Section]
  }

  var html: String {
    get throws {
      let sections = sections.filter { !$0.isEmpty }
      let findingLink = findings.isEmpty ? [] : [Link(anchor: "findings", text: "Findings")]
      let context = Context(
        title: title, headline: headline, version: version, findingsNote: findingsNote, style: style, script: script,
        links: findingLink + sections.map { Link(anchor: $0.anchor, text: $0.title) }, warnings: warnings,
        findings: findings, hasWarnings: !warnings.isEmpty, hasFindings: !findings.isEmpty, sections: sections)
      let library = MustacheLibrary(templates: [
        "report": try MustacheTemplate(string: Page.resource(PackageResources.report_mustache)),
        "table": try MustacheTemplate(string: Page.resource(PackageResources.table_mustache)),
        "gallery": try MustacheTemplate(string: Page.resource(PackageResources.gallery_mustache)),
      ])
      return library.render(context, withTemplate: "report") ?? ""
    }
  }

  private static func resource(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
