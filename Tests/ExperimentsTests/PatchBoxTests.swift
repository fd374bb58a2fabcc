import Experiments
import Foundation
import Testing

@Suite struct PatchBoxTests {
  private func boxes(_ name: String) throws -> PatchBoxes {
    let folder = repository.appendingPathComponent("Tests/Fixtures/parity/\(name)").path
    return try #require(PatchBoxes(ModelReference(name: name, location: .folder(folder))))
  }

  @Test(arguments: [(61, 47), (24, 24), (13, 29), (90, 7)])
  func `the merged grid of tiles covers the picture row by row, without gaps`(width: Int, height: Int) throws {
    // As unpad_image counts it: at an edge less than a patch of the picture may be missing.
    let patches = try boxes("next_llama").patches(width: width, height: height)
    let rows = Dictionary(grouping: patches.indices) { patches[$0].box.top }.sorted { $0.key < $1.key }.map(\.value)
    #expect(rows.joined().elementsEqual(patches.indices), "the order of the tokens is not row by row")
    let side = try #require(patches.map { max($0.box.right - $0.box.left, $0.box.bottom - $0.box.top) }.max())
    var bottom = try #require(patches.first).box.top
    #expect(bottom < side)
    for row in rows.map({ $0.map { patches[$0].box } }) {
      #expect(row[0].left < side && row[row.count - 1].right > Double(width) - side)
      #expect(zip(row, row.dropFirst()).allSatisfy { abs($0.right - $1.left) < 1e-3 })
      #expect(row.allSatisfy { abs($0.top - bottom) < 1e-3 })
      bottom = try #require(row.first).bottom
    }
    #expect(bottom > Double(height) - side)
    // Tile 0 is the base, 3 x 3 patches, which the merged grid does not show.
    #expect(patches.allSatisfy { $0.projectorRow >= 9 } && Set(patches.map(\.projectorRow)).count == patches.count)
  }

  @Test func `where the projector keeps CLS its rows begin behind it`() throws {
    #expect(try boxes("gqa").patches(width: 61, height: 47).map(\.projectorRow) == Array(1...16))
    #expect(try boxes("mha").patches(width: 61, height: 47).map(\.projectorRow) == Array(0..<25))
  }
}
