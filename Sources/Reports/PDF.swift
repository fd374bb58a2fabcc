import Foundation

/// SVG to PDF by librsvg's command, for papers.
enum PDF {
  /// nil where `rsvg-convert` (Debian: librsvg2-bin) is not installed.
  private static let converter = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":")
    .map { "\($0)/rsvg-convert" }.first { FileManager.default.isExecutableFile(atPath: $0) }

  /// Writes the PDF beside the SVG file; without the converter there is none. An older one is never left beside a newer SVG.
  static func write(besides svg: String) {
    let path = (svg as NSString).deletingPathExtension + ".pdf"
    try? FileManager.default.removeItem(atPath: path)
    guard let converter else { return }
    let partial = path + ".partial"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: converter)
    process.arguments = ["--format", "pdf", "--output", partial, svg]
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return }
    process.waitUntilExit()
    if process.terminationStatus == 0 {
      try? FileManager.default.moveItem(atPath: partial, toPath: path)
    } else {
      try? FileManager.default.removeItem(atPath: partial)
    }
  }
}
