// Memory that cannot be had is an error before it is taken.

import EmbedKernel
import Testing

@Suite struct SystemMemoryTests {
  @Test func whatCannotBeHadIsThrown() throws {
    for bytes in [SystemMemory.bytes + 1, 1 << 50, Int.max] {
      #expect(throws: EmbedError.outOfMemory(bytes: bytes)) { try SystemMemory.check(bytes) }
    }
    #expect(throws: Never.self) { try SystemMemory.check(1 << 20) }
    #expect(throws: EmbedError.outOfMemory(bytes: 1 << 52)) {
      _ = try SystemMemory.array(0 as Float, count: 1 << 50)
    }
    #expect(throws: EmbedError.self) { _ = try SystemMemory.array(0 as Double, count: .max) }
    #expect(try SystemMemory.array(1 as Int32, count: 3) == [1, 1, 1])
    #expect(throws: EmbedError.outOfMemory(bytes: 1 << 50)) {
      _ = try AlignedBuffer<Float>(count: 1 << 48)
    }
  }

  @Test func numbersInErrorsAreLegible() {
    let error = EmbedError.invalidValue(
      argument: "scale", value: -Double(nan: 7, signaling: false), expected: "a finite number")
    #expect("\(error)" == "scale is nan: expected a finite number")
  }
}
