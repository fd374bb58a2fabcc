import PluginABI

/// One lane's part of an event: rows that the plugin declared, in a dense view.
package struct SliceView {
  package var lane: UInt32
  /// Index in the plan's accesses.
  package var access: Int
  package var view: UnsafeMutablePointer<Float>
  /// Elements before and behind the view that the caller checks for writes: they go to a worker and come back with it.
  package var margin: Int
  package var shape: [Int]
  package var rows: [Int]
  package var heads: [Int]
  package var firstKey: Int
  package var keys: Int
  package var isLastBlock: Bool
  package var writable: Bool

  package var count: Int { shape.reduce(1, *) }

  package init(
    lane: UInt32, access: Int, view: UnsafeMutablePointer<Float>, margin: Int = 0, shape: [Int], rows: [Int],
    heads: [Int], firstKey: Int = 0, keys: Int, isLastBlock: Bool = true, writable: Bool
  ) {
    self.lane = lane
    self.access = access
    self.view = view
    self.margin = margin
    self.shape = shape
    self.rows = rows
    self.heads = heads
    self.firstKey = firstKey
    self.keys = keys
    self.isLastBlock = isLastBlock
    self.writable = writable
  }
}

/// Where and when an event happens: an `ablate_event` without its slices.
package struct EventPlace: Sendable, Equatable {
  package enum Phase: UInt32, Sendable { case vision, projector, prefill, decode }

  package var phase: Phase
  /// nil at sites without a layer.
  package var layer: Int?
  package var step: Int
  package var tower: String
  package var site: String

  package init(phase: Phase, layer: Int?, step: Int, tower: String, site: String) {
    self.phase = phase
    self.layer = layer
    self.step = step
    self.tower = tower
    self.site = site
  }

  var text: String {
    "\(tower)\(layer.map { ".\($0)" } ?? "").\(site)\(step == 0 ? "" : ", step \(step)")"
  }
}

extension PluginInstance {
  package func onEvent(_ place: EventPlace, _ slices: [SliceView]) throws(PluginError) {
    let memory = ForeignMemory()
    var event = ablate_event()
    event.struct_size = ABI.size(of: ablate_event.self)
    event.phase = place.phase.rawValue
    event.layer = Int32(place.layer ?? -1)
    event.step = Int32(place.step)
    event.tower = memory.string(place.tower)
    event.site = memory.string(place.site)
    event.slices = memory.structs(slices.map { $0.foreign(memory) })
    event.n_slices = UInt64(slices.count)
    try onEvent(&event, at: place.text)
  }
}

extension SliceView {
  fileprivate func foreign(_ memory: ForeignMemory) -> ablate_slice {
    var slice = ablate_slice()
    slice.struct_size = ABI.size(of: ablate_slice.self)
    slice.lane = lane
    slice.access_index = UInt32(access)
    slice.flags = isLastBlock ? ABLATE_LAST_BLOCK : 0
    let rights = writable ? ABLATE_READ | ABLATE_WRITE : ABLATE_READ
    slice.view = UnsafeMutablePointer(mutating: memory.view(view, shape: shape, access: rights))
    (slice.rows, slice.n_rows) = (memory.array(rows.map(Int32.init)), UInt64(rows.count))
    (slice.heads, slice.n_heads) = (memory.array(heads.map(Int32.init)), UInt64(heads.count))
    (slice.key_first, slice.n_keys) = (Int32(firstKey), Int32(keys))
    return slice
  }
}
