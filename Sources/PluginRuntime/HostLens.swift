import Diagnostics
import Glibc
import PluginABI

/// The host's extension `ablate.lens/1`: what a lens that learns is trained by.
extension HostTable {
  var lensTable: ablate_ext_lens {
    ablate_ext_lens(
      struct_size: ABI.size(of: ablate_ext_lens.self), _pad: 0, ctx: table.pointee.ctx,
      divergence: { ctx, hidden, finals, divergence, gradient in
        HostTable.of(ctx)?.divergence(hidden, finals, divergence, gradient) ?? ABLATE_E_STATE
      })
  }

  func `extension`(_ id: UnsafePointer<CChar>?) -> UnsafeRawPointer? {
    guard services.divergence != nil, let id, strcmp(id, ABLATE_EXT_LENS) == 0 else { return nil }
    return UnsafeRawPointer(lens)
  }

  private func divergence(
    _ hidden: UnsafePointer<ablate_tensor>?, _ finals: UnsafePointer<ablate_tensor>?,
    _ divergence: UnsafePointer<ablate_tensor>?, _ gradient: UnsafePointer<ablate_tensor>?
  ) -> ablate_status {
    let reader = ForeignReader(at: "divergence")
    do {
      guard let hidden = try reader.tensor(hidden, "hidden"), let finals = try reader.tensor(finals, "finals"),
        hidden.shape.count == 2, hidden.shape == finals.shape
      else { throw reader.fault("finals", "and hidden must both be [rows, width]") }
      guard let answer = try services.divergence?(hidden, finals) else { return ABLATE_E_STATE }
      try reader.fill(divergence, "divergence", with: answer.values)
      try reader.fill(gradient, "gradient", with: answer.gradient)
      return ABLATE_OK
    } catch let error as ForeignReader.Fault {
      fault = "\(error.field): \(error.problem)"
    } catch {
      fault = "divergence: \((error as? any DiagnosedError)?.diagnosis.what ?? "\(error)")"
    }
    return ABLATE_E_INVALID
  }
}
