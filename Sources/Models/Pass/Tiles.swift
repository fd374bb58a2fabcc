import Tensors

// Each tile of an image is a sequence of its own in the vision tower: a lane per condition and tile. Outside the pass rows are counted
// through the tiles, one behind the other; these are the two ways between.

extension Program {
  /// What happens in the vision tower to one tile, whose rows are `range` of all, counted from its own first.
  func tile(_ range: Range<Row>) -> Program {
    func own(_ rows: [Row]) -> [Row] { rows.filter(range.contains).map { $0 - range.lowerBound } }
    var tile = Program()
    for (point, ops) in ops where point.tower == .vision {
      let rowAxis = point.site.axes.rowAxis
      tile.ops[point] = ops.map { op in
        var part = op
        part.rows = own(op.rows)
        switch op.action {
        case .mass(let reading, let keys): part.action = .mass(reading: reading, keys: own(keys))
        case .patch(let source, let values):
          let places = op.rows.indices.filter { range.contains(op.rows[$0]) }
          part.action = .patch(source: source, values?.selecting(places, axis: rowAxis))
        case .scale, .set, .add, .call, .capture: break
        }
        return part
      }
    }
    tile.edges = edges.filter { $0.key.tower == .vision }.mapValues { $0.part(range) }
    return tile
  }
}

extension LaneResults {
  /// What the lanes of an image's tiles leave behind, as one lane's.
  init(tiles: [Lane]) {
    if tiles.count == 1 {
      self = tiles[0].results
      return
    }
    for lane in tiles {
      for (plugin, points) in lane.results.receipts {
        for (point, receipt) in points { record(plugin, point) { $0.add(receipt) } }
      }
    }
    captures = LaneResults.joined(tiles.map { ($0.firstRow, $0.results.captures) }) { a, b in
      Capture(
        reading: a.reading, plugin: a.plugin, point: a.point, rows: a.rows + b.rows, clean: a.clean.union(b.clean),
        tensor: a.tensor.joined(b.tensor, axis: a.point.site.axes.rowAxis))
    }
    masses = LaneResults.joined(tiles.map { ($0.firstRow, $0.results.masses) }) { a, b in
      Mass(
        reading: a.reading, plugin: a.plugin, point: a.point, rows: a.rows + b.rows,
        tensor: a.tensor.joined(b.tensor, axis: 1))
    }
  }

  /// Readings of the same thing in several tiles, one behind the other; in the order in which they were first made.
  private static func joined<Reading: TileReading>(
    _ tiles: [(firstRow: Row, readings: [Reading])], _ join: (Reading, Reading) -> Reading
  ) -> [Reading] {
    var all: [Reading] = []
    for tile in tiles {
      for reading in tile.readings {
        let moved = reading.moved(by: tile.firstRow)
        if let place = all.firstIndex(where: { $0.isSame(as: moved) }) {
          all[place] = join(all[place], moved)
        } else {
          all.append(moved)
        }
      }
    }
    return all
  }
}

extension Axes {
  fileprivate var rowAxis: Int { self == .headsRowsKeys ? 1 : 0 }
}

private protocol TileReading {
  var reading: Int { get }
  var plugin: Int { get }
  var point: HookPoint { get }
  /// Rows counted from another start.
  func moved(by offset: Row) -> Self
}

extension TileReading {
  func isSame(as other: Self) -> Bool {
    reading == other.reading && plugin == other.plugin && point == other.point
  }
}

extension LaneResults.Capture: TileReading {
  func moved(by offset: Row) -> Self {
    Self(
      reading: reading, plugin: plugin, point: point, rows: rows.map { $0 + offset },
      clean: RowSet(clean.rows.map { $0 + offset }), tensor: tensor)
  }
}

extension LaneResults.Mass: TileReading {
  func moved(by offset: Row) -> Self {
    Self(reading: reading, plugin: plugin, point: point, rows: rows.map { $0 + offset }, tensor: tensor)
  }
}

extension OpReceipt {
  fileprivate mutating func add(_ other: OpReceipt) {
    visits += other.visits
    rows += other.rows
    changed += other.changed
    largest = max(largest, other.largest)
  }
}

extension Op {
  /// Visits of one pass before decoding: in the vision tower one for each tile that the rows lie in.
  package func visits(in tower: Tower, _ layout: ImageLayout) -> Int {
    if tower == .vision { return Set(rows.map { $0 / layout.tileRows }).count }
    return rows.isEmpty ? 0 : 1
  }
}
