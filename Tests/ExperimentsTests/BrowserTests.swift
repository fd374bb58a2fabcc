import Foundation
import TestSupport
import Testing

@testable import Reports

/// The page in a real browser: Debian's `chromium`, headless. Skipped where it is not installed.
@Suite(.serialized, .enabled(if: Browser.path != nil, "there is no chromium: apt-get install chromium"))
struct BrowserTests {
  @Test func `10,000 rows load in about a second without a word in the console, and sort and filter`() throws {
    let found = try Browser.ask(try page(rows: 10_000).html, inspection)
    #expect(found.console.isEmpty, "\(found.console)")
    #expect(found["rows"] == "10000")
    // A second on a quiet machine; the tests of others run beside this one.
    #expect(Double(found["loaded"] ?? "").map { $0 < 5000 } == true, "loaded after \(found["loaded"] ?? "?") ms")
    #expect(found["sorted"] == "item 9999", "first after a click on the number's heading: \(found["sorted"] ?? "")")
    #expect(found["filtered"] == "1 of 10000")
    #expect(found["opacity"] == "0.2" && found["shown"] == "1")
  }

  @Test(arguments: ["light", "dark"])
  func `text has a contrast of 4.5 to 1, and every picture says what it shows`(scheme: String) throws {
    let found = try Browser.ask(try page(rows: 3).html, inspection, dark: scheme == "dark")
    #expect(found["scheme"] == scheme)
    #expect(found["faint"] == "", "too faint: \(found["faint"] ?? "?")")
    #expect(found["silent"] == "0" && found["pictures"] == "3")
  }

  @Test func `what comes from data stays text`() throws {
    var page = try page(rows: 1)
    let evil = "</script><img src=x onerror=\"document.body.dataset.evil=1\">"
    page.title = evil
    page.warnings = [evil]
    page.findings[0].sentence = evil
    page.sections[0].tables[0].rows[0].cells[0] = evil
    page.sections[0].gallery[0].cards[0].alternative = evil
    page.sections[0].texts = [Page.Text(title: evil, text: evil)]
    let html = try page.html
    #expect(!html.contains("<img src=x") && html.contains("&lt;/script&gt;&lt;img src=x"))
    #expect(try Browser.ask(html, "report('evil', document.body.dataset.evil || 'none')")["evil"] == "none")
  }

  /// A page with one of everything.
  private func page(rows: Int) throws -> Page {
    var table = TextTable(header: ["item", "value", "class"])
    table.rows = (0..<rows).map { ["item \($0)", "\(rows - $0).00 [0.5, 1.0]", "wheel"] }
    let gray =
      "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
    let card = Gallery.Card(
      image: gray, width: 64, height: 64, alternative: "a wheel", word: "wheel", owner: "car", place: "0.png",
      why: "largest C", overlays: (0..<4).map { Gallery.Overlay(index: $0, shown: $0 == 1, patches: []) },
      outline: "M0 0H8V8H0Z", headings: [Gallery.Heading(short: "0", full: "text.0.resid_post")],
      rows: (0..<7).map { Gallery.Row(name: "both intact", cells: [Gallery.Cell(rank: Double(1 << $0))]) })
    let gallery = Gallery(
      model: "strong", conditions: (0..<4).map { .init(index: $0, name: "c\($0)", selected: $0 == 1) },
      legend: [1, 2, 4, 8, 16, 32, 64].map { Gallery.Cell(rank: $0) }, cards: [card])
    var drawing = SVG(width: 100, height: 40)
    drawing.text("layer", at: (10, 20))
    let figure = Figure(name: "f", title: "a curve", caption: "a caption", drawing: drawing, table: CSV(header: ["x"]))
    let section = Page.Section(
      anchor: "all", title: "All", intro: "An introduction.", figures: [Page.Plot(figure)], gallery: [gallery],
      tables: [Page.Table(table, caption: "items", sortable: true)], texts: [Page.Text(title: "facts", text: "{}")])
    return Page(
      title: "tiny", headline: "48 of 48 trials", version: "", warnings: ["a warning"],
      findings: [
        .init(kind: "primary", verdict: "compensates", sentence: "It does."),
        .init(kind: "exploratory", verdict: "not distinguishable", sentence: "It may."),
      ], findingsNote: "A note.", sections: [section])
  }

  /// Uses the page as a reader would, and reports what it sees.
  private let inspection = """
    report('rows', document.querySelectorAll('.sortable tbody tr').length);
    report('scheme', matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
    const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const under = (e) => {
      for (; e; e = e.parentElement) {
        const c = parse(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0) return c;
      }
      return [255, 255, 255];
    };
    const faint = new Set();
    for (const e of document.querySelectorAll('body *')) {
      const hasText = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.textContent.trim());
      if (!hasText || ['SCRIPT', 'title', 'OPTION'].includes(e.tagName) || !e.getClientRects().length) continue;
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(under(e))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) faint.add(e.tagName + ' ' + e.textContent.trim().slice(0, 20) + ' ' + ratio.toFixed(2));
    }
    report('faint', Array.from(faint).join('; '));
    const pictures = Array.from(document.querySelectorAll('img, svg'));
    report('pictures', pictures.length);
    report('silent', pictures.filter((p) => p.tagName === 'IMG' ? !p.alt
      : !p.querySelector('title') && p.getAttribute('aria-hidden') !== 'true').length);
    document.querySelectorAll('.sortable thead button')[1].click();
    report('sorted', document.querySelector('.sortable tbody tr').cells[0].textContent);
    const filter = document.querySelector('.filter input');
    filter.value = 'WHEEL  item ' + (document.querySelectorAll('.sortable tbody tr').length - 1);
    filter.dispatchEvent(new Event('input'));
    report('filtered', document.querySelector('.filter span').textContent);
    const slider = document.querySelector('.opacity');
    slider.value = 20;
    slider.dispatchEvent(new Event('input'));
    report('opacity', document.querySelector('.gallery').style.getPropertyValue('--overlay'));
    report('shown', document.querySelectorAll('.overlay.shown').length);
    """
}

enum Browser {
  static let path = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].first {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  struct Answer {
    /// Lines that the page wrote to its console.
    var console: [String]
    var values: [String: String]
    subscript(name: String) -> String? { values[name] }
  }

  /// Opens a page, runs `script` in it once it has loaded, and returns what `report(name, value)` was told there.
  static func ask(_ html: String, _ script: String, dark: Bool = false) throws -> Answer {
    let folder = try TemporaryFolder()
    let probe = """
      <script>
      addEventListener('load', () => {
        const told = document.createElement('dl');
        const report = (name, value) => { told.dataset[name] = value; };
        report('loaded', performance.now());
        \(script)
        told.id = 'told';
        document.body.append(told);
      });
      </script>
      """
    try folder.write(html.replacing("</body>", with: probe + "</body>"), to: "page.html")
    for name in ["out", "err"] { try folder.write("", to: name) }
    let child = Process()
    child.executableURL = URL(fileURLWithPath: path ?? "")
    child.arguments = [
      "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
      "--user-data-dir=\(folder.file("profile"))", "--virtual-time-budget=10000", "--timeout=60000",
      "--blink-settings=preferredColorScheme=\(dark ? 0 : 1)", "--dump-dom", "file://\(folder.file("page.html"))",
    ]
    child.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("out")))
    child.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("err")))
    try child.run()
    child.waitUntilExit()
    let dom = try String(contentsOfFile: folder.file("out"), encoding: .utf8)
    let log = try String(contentsOfFile: folder.file("err"), encoding: .utf8)
    var values: [String: String] = [:]
    let told = dom.firstMatch(of: /<dl ([^>]*)id="told"/)?.1 ?? ""
    for pair in told.matches(of: /data-([a-z]+)="([^"]*)"/) { values[String(pair.1)] = String(pair.2) }
    return Answer(
      console: log.split(separator: "\n").filter { $0.contains("CONSOLE") }.map(String.init), values: values)
  }
}
