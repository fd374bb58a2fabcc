// Doubles the first element of each view.
import PluginABI

nonisolated(unsafe) let library: UnsafePointer<ablate_library> = {
  func kept<T>(_ value: T) -> UnsafeMutablePointer<T> {
    let place = UnsafeMutablePointer<T>.allocate(capacity: 1)
    place.initialize(to: value)
    return place
  }
  func text(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
  }
  var plugin = ablate_plugin()
  (plugin.struct_size, plugin.kind) = (UInt32(MemoryLayout<ablate_plugin>.size), ABLATE_INTERVENTION)
  (plugin.id, plugin.version) = (text("twice"), text("1.0.0"))
  plugin.create = { _, _, _, _, _ in UnsafeMutableRawPointer(bitPattern: 1) }
  plugin.destroy = { _ in }
  plugin.plan = { _, _, _, _ in ABLATE_OK }
  plugin.on_event = { _, event, _ in
    for i in 0..<Int(event!.pointee.n_slices) {
      event!.pointee.slices[i].view.pointee.data.assumingMemoryBound(to: Float.self)[0] *= 2
    }
    return ABLATE_OK
  }
  return UnsafePointer(
    kept(
      ablate_library(
        struct_size: UInt32(MemoryLayout<ablate_library>.size), abi_major: ABLATE_ABI_MAJOR,
        abi_minor: ABLATE_ABI_MINOR, pointer_bits: 64, plugins: kept(UnsafePointer(kept(plugin))), n_plugins: 1)))
}()

// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation
public func ablate_plugin_entry_v1(
  _ hostMinor: UInt32, _ error: UnsafeMutablePointer<ablate_error>?
) -> UnsafePointer<ablate_library>? { library }
