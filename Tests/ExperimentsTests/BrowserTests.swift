import Foundation
import Reports
import TestSupport
import Testing

/// The page in a real browser: Debian's `chromium`, headless. Skipped where it is not installed.
@Suite(
  .serialized, .enabled(if: Browser.path != nil, "there is no chromium: apt-get install chromium"),
  .enabled(if: Command.path != nil, "there is no ablate beside the tests"))
struct BrowserTests {
  /// The report of a run of quick.yaml on six images, with everything that a report can have but comparisons.
  private static let page = Result {
    let folder = try TemporaryFolder()
    let quick = try String(contentsOf: repository.appendingPathComponent("manifests/quick.yaml"), encoding: .utf8)
    let small = quick.replacing("limit: 60", with: "limit: 6")
      .replacing("../data/parts", with: repository.appendingPathComponent("data/parts").path)
    try folder.write(small, to: "quick.yaml")
    let done = try Command.finish(["run", folder.file("quick.yaml"), "--out", folder.file("run"), "--quiet"])
    #expect(done.status == 0, "\(done.errors)")
    return try RunReport(path: folder.file("run")).html
  }

  @Test func `10,000 rows load in about a second without a word in the console, and sort and filter`() throws {
    let html = try BrowserTests.with(rows: 10_000, BrowserTests.page.get())
    let found = try Browser.ask(html, inspection)
    #expect(found.console.isEmpty, "\(found.console)")
    #expect(found["rows"] == "10000")
    // A second on a quiet machine; builds and other tests may run beside this one.
    #expect(Double(found["loaded"] ?? "").map { $0 < 5_000 } == true, "loaded after \(found["loaded"] ?? "?") ms")
    #expect(found["sorted"] == "item 9999", "first after a click on the heading: \(found["sorted"] ?? "?")")
    #expect(found["filtered"] == "11 of 10000", "the item, and ten whose values begin with its number")
    #expect(found["opacity"] == "0.2" && found["shown"] == found["cards"] && found["cards"] != "0")
  }

  @Test(arguments: ["light", "dark"])
  func `text has a contrast of 4.5 to 1, and every picture says what it shows`(scheme: String) throws {
    let found = try Browser.ask(try BrowserTests.page.get(), inspection, dark: scheme == "dark")
    #expect(found.console.isEmpty, "\(found.console)")
    #expect(found["scheme"] == scheme)
    #expect(found["faint"] == "", "too faint: \(found["faint"] ?? "?")")
    #expect(found["silent"] == "0" && Int(found["pictures"] ?? "").map { $0 > 10 } == true)
  }

  /// The page with so many rows in its table of items, folded as the report folds a table of that size.
  private static func with(rows: Int, _ html: String) throws -> String {
    let table = try #require(html.range(of: "<div class=\"table sortable\">"))
    let body = try #require(html.range(of: "<tbody>", range: table.upperBound..<html.endIndex))
    let end = try #require(html.range(of: "</tbody>", range: body.upperBound..<html.endIndex))
    let many = (0..<rows).map { row in
      "<tr><th scope=\"row\">item \(row)</th>"
        + (0..<10).map { "<td>\(rows - row + $0).50 [0.1, 0.9]</td>" }.joined() + "</tr>\n"
    }
    let whole = html[table.upperBound...]
    let after = try #require(whole.range(of: "</table>\n</div>"))
    let close = try #require(html.range(of: "</div>", range: after.upperBound..<html.endIndex))
    let parts: [Substring] = [
      html[..<table.lowerBound], "<details class=\"fold\"><summary>items</summary>",
      html[table.lowerBound..<body.upperBound], Substring(many.joined()), html[end.lowerBound..<close.upperBound],
      "</details>", html[close.upperBound...],
    ]
    return parts.joined()
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
    filter.value = 'ITEM  9998';
    filter.dispatchEvent(new Event('input'));
    report('filtered', document.querySelector('.filter span').textContent);
    const slider = document.querySelector('.opacity');
    slider.value = 20;
    slider.dispatchEvent(new Event('input'));
    report('opacity', document.querySelector('.gallery').style.getPropertyValue('--overlay'));
    report('cards', document.querySelectorAll('.card').length);
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
      "--user-data-dir=\(folder.file("profile"))", "--timeout=60000",
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
