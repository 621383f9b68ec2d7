// Schedules at the steps where their form changes.

import EmbedKernel
import Testing

@Suite struct LearningRateTests {
  @Test func schedulesTakeTheirForms() {
    func rates(_ rate: LearningRate, _ steps: [Int]) -> [Double] { steps.map(rate.rate(at:)) }
    #expect(rates(.constant(0.5), [1, 1_000_000]) == [0.5, 0.5])
    #expect(rates(.linearWarmup(peak: 1, warmup: 4), [1, 2, 4, 5]) == [0.25, 0.5, 1, 1])
    #expect(rates(.linearWarmup(peak: 1, warmup: 0), [1, 2]) == [1, 1])
    #expect(
      rates(.steps(initial: 1, factor: 0.5, every: 3), [1, 3, 4, 6, 7]) == [1, 1, 0.5, 0.5, 0.25])
    #expect(rates(.inverseSquareRoot(peak: 1, warmup: 4), [2, 4, 16, 64]) == [0.5, 1, 0.5, 0.25])
    #expect(rates(.inverseSquareRoot(peak: 1, warmup: 0), [1, 4]) == [1, 0.5])
    let linear = LearningRate.linear(peak: 1, final: 0.5, warmup: 2, total: 10)
    #expect(rates(linear, [1, 2, 4, 6, 10, 11]) == [0.5, 1, 0.875, 0.75, 0.5, 0.5])
    let cosine = LearningRate.cosine(peak: 1, final: 0.2, warmup: 2, total: 10)
    #expect(rates(cosine, [1, 2, 10, 11]) == [0.5, 1, 0.2, 0.2])
    #expect(abs(cosine.rate(at: 6) - 0.6) < 1e-15)
    #expect(abs(cosine.rate(at: 4) - (0.6 + 0.4 * 0.5.squareRoot())) < 1e-15)
  }
}
