import EmbedKernel
import Testing
@Test func a() { print(probe()); #expect(probe() > 0) }
