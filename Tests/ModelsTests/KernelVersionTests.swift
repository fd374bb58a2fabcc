#if arch(x86_64)
  import Tensors
  import TestSupport
  import Testing

  /// The loader picks one of three builds of each kernel. They must agree to the bit, or a result would depend on the machine.
  @Suite struct KernelVersionTests {
    @Test(arguments: [1, 15, 16, 17, 48, 577]) func `SSE2, AVX2 and AVX-512 give the same bits`(width: Int) throws {
      let isa = Engine.provenance.isa
      let versions = 1 + (isa == "sse41" || isa == "avx" ? 0 : 1) + (isa.hasPrefix("avx512") ? 1 : 0)
      var numbers = SeededNumbers(UInt64(400 + width))
      func random() -> [Float] { (0..<width).map { _ in numbers.number() * 6 } }
      let (x, gain, bias) = (random(), random(), random())
      var answers: [[[Float]]] = []
      for kernels in [v1, v3, v4].prefix(versions) {
        var (softmax, rms, layer, silu, gelu) = (x, x, x, x, x)
        kernels.softmax(&softmax, Int64(width), Int64(width))
        kernels.rms(x, gain, 1e-5, &rms, 1, Int64(width))
        kernels.layer(x, gain, bias, 1e-5, &layer, 1, Int64(width))
        kernels.silu(&silu, Int64(width))
        kernels.gelu(&gelu, Int64(width))
        answers.append([softmax, rms, layer, silu, gelu])
      }
      for other in answers.dropFirst() {
        for (a, b) in zip(answers[0], other) { #expect(a.map(\.bitPattern) == b.map(\.bitPattern)) }
      }
      #expect(answers.count == versions && answers[0].allSatisfy { $0 != x || width == 1 })
    }

    private typealias Writable = UnsafeMutablePointer<Float>
    private typealias Readable = UnsafePointer<Float>

    private struct Kernels {
      let softmax: (Writable, Int64, Int64) -> Void
      let rms: (Readable, Readable, Float, Writable, Int64, Int64) -> Void
      let layer: (Readable, Readable, Readable, Float, Writable, Int64, Int64) -> Void
      let silu: (Writable, Int64) -> Void
      let gelu: (Writable, Int64) -> Void
    }

    private var v1: Kernels { Kernels(softmax: softmaxV1, rms: rmsV1, layer: layerV1, silu: siluV1, gelu: geluV1) }
    private var v3: Kernels { Kernels(softmax: softmaxV3, rms: rmsV3, layer: layerV3, silu: siluV3, gelu: geluV3) }
    private var v4: Kernels { Kernels(softmax: softmaxV4, rms: rmsV4, layer: layerV4, silu: siluV4, gelu: geluV4) }
  }

  // The builds have no header: only the loader knows them (Sources/CKernels/dispatch.c).
  @_silgen_name("ck_softmax_v1") private func softmaxV1(
    _ x: UnsafeMutablePointer<Float>, _ valid: Int64, _ columns: Int64)
  @_silgen_name("ck_rms_norm_v1") private func rmsV1(
    _ x: UnsafePointer<Float>, _ gain: UnsafePointer<Float>, _ eps: Float, _ y: UnsafeMutablePointer<Float>,
    _ rows: Int64, _ width: Int64)
  @_silgen_name("ck_layer_norm_v1") private func layerV1(
    _ x: UnsafePointer<Float>, _ gain: UnsafePointer<Float>, _ bias: UnsafePointer<Float>, _ eps: Float,
    _ y: UnsafeMutablePointer<Float>, _ rows: Int64, _ width: Int64)
  @_silgen_name("ck_silu_v1") private func siluV1(_ x: UnsafeMutablePointer<Float>, _ n: Int64)
  @_silgen_name("ck_gelu_quick_v1") private func geluV1(_ x: UnsafeMutablePointer<Float>, _ n: Int64)
  @_silgen_name("ck_softmax_v3") private func softmaxV3(
    _ x: UnsafeMutablePointer<Float>, _ valid: Int64, _ columns: Int64)
  @_silgen_name("ck_rms_norm_v3") private func rmsV3(
    _ x: UnsafePointer<Float>, _ gain: UnsafePointer<Float>, _ eps: Float, _ y: UnsafeMutablePointer<Float>,
    _ rows: Int64, _ width: Int64)
  @_silgen_name("ck_layer_norm_v3") private func layerV3(
    _ x: UnsafePointer<Float>, _ gain: UnsafePointer<Float>, _ bias: UnsafePointer<Float>, _ eps: Float,
    _ y: UnsafeMutablePointer<Float>, _ rows: Int64, _ width: Int64)
  @_silgen_name("ck_silu_v3") private func siluV3(_ x: UnsafeMutablePointer<Float>, _ n: Int64)
  @_silgen_name("ck_gelu_quick_v3") private func geluV3(_ x: UnsafeMutablePointer<Float>, _ n: Int64)
  @_silgen_name("ck_softmax_v4") private func softmaxV4(
    _ x: UnsafeMutablePointer<Float>, _ valid: Int64, _ columns: Int64)
  @_silgen_name("ck_rms_norm_v4") private func rmsV4(
    _ x: UnsafePointer<Float>, _ gain: UnsafePointer<Float>, _ eps: Float, _ y: UnsafeMutablePointer<Float>,
    _ rows: Int64, _ width: Int64)
  @_silgen_name("ck_layer_norm_v4") private func layerV4(
    _ x: UnsafePointer<Float>, _ gain: UnsafePointer<Float>, _ bias: UnsafePointer<Float>, _ eps: Float,
    _ y: UnsafeMutablePointer<Float>, _ rows: Int64, _ width: Int64)
  @_silgen_name("ck_silu_v4") private func siluV4(_ x: UnsafeMutablePointer<Float>, _ n: Int64)
  @_silgen_name("ck_gelu_quick_v4") private func geluV4(_ x: UnsafeMutablePointer<Float>, _ n: Int64)
#endif
