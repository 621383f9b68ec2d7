// The library's own facts: version, errors, threads.

import CEmbedKernel
import EmbedKernel
import EmbedKernelABI
import Testing

@Suite struct LibraryTests {
  @Test func tellsItsVersions() {
    #expect(ek_abi_version() == Int32(EK_ABI_VERSION))
    #expect(unsafe String(cString: ek_version()) == Release.version)
  }
}
