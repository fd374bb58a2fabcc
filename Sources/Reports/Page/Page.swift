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
    var list: List?
    var figures: [Plot] = []
    var gallery: [Gallery] = []
    var tables: [Table] = []
    var texts: [Text] = []

    var isEmpty: Bool { figures.isEmpty && gallery.isEmpty && tables.isEmpty && texts.isEmpty }
  }

  /// Sentences, one a line.
  struct List {
    var items: [String]
  }

  struct Plot {
    var svg: String
    var alternative: String
    var caption: String
    var files: String
    /// Two of them fit beside each other.
    var isNarrow: Bool

    init(_ figure: Figure) {
      svg = figure.drawing.inline(title: figure.title)
      alternative = figure.title
      caption = figure.caption
      files = "figures/\(figure.name).svg, .csv"
      isNarrow = figure.drawing.width <= 720
    }
  }

  struct Table {
    var caption: String
    var header: [String]
    var rows: [Row]
    var note: String?
    var sortable = false
    /// One click away.
    var isFolded: Bool
    var size: String
    /// A table of more rows is folded. Sortable ones have a scroll bar, but a browser takes 8 s to lay out 10,000 rows, and 1 s folded.
    private static let mostRows = (plain: 12, sortable: 1_000)

    struct Row {
      var name: String
      var cells: [String]
    }

    /// - Parameter isFolded: nil: where it is long.
    init(_ table: TextTable, caption: String, note: String? = nil, sortable: Bool = false, isFolded: Bool? = nil) {
      (self.caption, self.note, self.sortable) = (caption, note, sortable)
      self.isFolded = isFolded ?? (table.rows.count > (sortable ? Table.mostRows.sortable : Table.mostRows.plain))
      size = counted(table.rows.count, "row")
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
    let moreFindings: [FindingRow]
    let more: String
    let hasWarnings, hasFindings, hasMore: Bool
    let sections: [Section]
  }

  var html: String {
    get throws {
      let sections = sections.filter { !$0.isEmpty }
      let findingLink = findings.isEmpty ? [] : [Link(anchor: "findings", text: "Findings")]
      let (first, rest) = foldedFindings
      let context = Context(
        title: title, headline: headline, version: version, findingsNote: findingsNote, style: style, script: script,
        links: findingLink + sections.map { Link(anchor: $0.anchor, text: $0.title) }, warnings: warnings,
        findings: first, moreFindings: rest, more: counted(rest.count, "more finding"),
        hasWarnings: !warnings.isEmpty, hasFindings: !findings.isEmpty, hasMore: !rest.isEmpty, sections: sections)
      let library = MustacheLibrary(templates: [
        "report": try MustacheTemplate(string: Page.resource(PackageResources.report_mustache)),
        "table": try MustacheTemplate(string: Page.resource(PackageResources.table_mustache)),
        "gallery": try MustacheTemplate(string: Page.resource(PackageResources.gallery_mustache)),
      ])
      return library.render(context, withTemplate: "report") ?? ""
    }
  }

  /// Primary ones are always in sight; where there are many others, these are folded.
  private var foldedFindings: (shown: [FindingRow], folded: [FindingRow]) {
    let primary = findings.count { $0.kind == Finding.Kind.primary.rawValue }
    let shown = findings.count - primary <= Page.mostFindings ? findings.count : max(primary, Page.mostFindings / 2)
    return (Array(findings.prefix(shown)), Array(findings.dropFirst(shown)))
  }
  private static let mostFindings = 6

  private static func resource(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
