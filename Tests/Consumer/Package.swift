// swift-tools-version: 6.2
// A package of someone else's that depends on EmbedKernel: it shows that the library builds, links
// and runs as a dependency, with no settings beyond its name, and that the benchmark harness does.

import PackageDescription

let package = Package(
  name: "Consumer",
  platforms: [.macOS(.v26)],
  products: [
    .executable(name: "consumer-benchmarks", targets: ["ConsumerBenchmarks"])
  ],
  dependencies: [.package(name: "EmbedKernel", path: "../..")],
  targets: [
    .executableTarget(
      name: "Consumer", dependencies: [.product(name: "EmbedKernel", package: "EmbedKernel")]),
    .executableTarget(
      name: "ConsumerBenchmarks",
      dependencies: [.product(name: "BenchmarkHarness", package: "EmbedKernel")]),
  ]
)
