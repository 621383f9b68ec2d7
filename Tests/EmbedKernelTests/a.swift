import EmbedKernel
import Testing
@Test func a() throws {
  let t = try EmbeddingTable(rows: 50257, dim: 256, .normal(sigma: 1), seed: 1)
  let p = try EmbeddingTable(rows: 1024, dim: 256, .normal(sigma: 1), seed: 2)
  let ids: [Int32] = (0..<32).map { $0 * 1000 }
  var reference: [Float] = []
  for k in [Kernels.openBLAS, .simd, .native, .auto] {
    var out = try AlignedBuffer<Float>(count: 32 * 256)
    var s = out.mutableSpan
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<10000 { 
    try k.embed(ids: ids.span, tokens: t.span, positions: p.span, shape: .init(vocabulary: 50257, batch: 8, context: 4, dim: 256), into: &s) } 
    print(k, (clock.now - start) / 10000)
    let o = (0..<out.count).map { out[$0] }
    if reference.isEmpty { reference = o }
    #expect(o == reference)
  }
}
