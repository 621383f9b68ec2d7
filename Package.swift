// swift-tools-version: 6.2

import PackageDescription

// Ignored when the package is a dependency, so a newer compiler's warnings never break a user.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
  name: "EmbedKernel",
  platforms: [.macOS(.v26)],
  products: [
    .library(name: "EmbedKernel", targets: ["EmbedKernel"]),
    .library(name: "EmbedRows", targets: ["EmbedRows"]),
    .library(name: "EmbedSchemes", targets: ["EmbedSchemes"]),
    .library(name: "EmbedFactorizations", targets: ["EmbedFactorizations"]),
    .library(name: "EmbedResizing", targets: ["EmbedResizing"]),
    .library(name: "EmbedModels", targets: ["EmbedModels"]),
    .library(name: "EmbedFiles", targets: ["EmbedFiles"]),
    .library(name: "EmbedData", targets: ["EmbedData"]),
    .library(name: "EmbedDifferentiable", targets: ["EmbedDifferentiable"]),
    .library(name: "EmbedTraining", targets: ["EmbedTraining"]),
    .library(name: "EmbedDistributed", targets: ["EmbedDistributed"]),
    .executable(name: "embedkernel", targets: ["CommandEntry"]),
    .library(name: "BenchmarkHarness", targets: ["BenchmarkHarness"]),
    .executable(name: "embed-benchmarks", targets: ["EmbedBenchmarks"]),
  ],
  targets: [
    // MARK: Libraries
    // Files and their formats, which the others build on.
    .target(
      name: "EmbedFiles", dependencies: ["CSystem", "CThreadPool", "CZlib"], swiftSettings: strict),
    .target(
      name: "EmbedKernel",
      dependencies: ["EmbedFiles", "CBLASCalls", "CKernels", "CSystem", "CThreadPool"],
      swiftSettings: strict),
    // Rows of any format, quantised ones among them, gathered, pooled and trained.
    .target(
      name: "EmbedRows",
      dependencies: [
        "EmbedKernel", "EmbedFiles", "EmbedModels", "CBLASCalls", "CKernels", "CSystem",
      ],
      swiftSettings: strict),
    // Positions of research papers, on the protocols that are open to users.
    .target(
      name: "EmbedSchemes", dependencies: ["EmbedKernel", "CKernels", "CSystem"],
      swiftSettings: strict),
    // Tables that grow or shrink, their optimisers' state with them.
    .target(
      name: "EmbedResizing", dependencies: ["EmbedKernel", "CBLASCalls"], swiftSettings: strict),
    // Tables as products of factors: ALBERT's, and singular values.
    .target(
      name: "EmbedFactorizations", dependencies: ["EmbedKernel", "CBLASCalls"],
      swiftSettings: strict),
    // What published models' files say.
    .target(name: "EmbedModels", dependencies: ["EmbedKernel"], swiftSettings: strict),
    // Swift's automatic differentiation, which is experimental: a target of its own.
    .target(
      name: "EmbedDifferentiable", dependencies: ["EmbedKernel"], swiftSettings: strict),
    .target(
      name: "EmbedData",
      dependencies: ["EmbedFiles", "CPCRE2", "CSystem", "CThreadPool", "CTokenizer"],
      swiftSettings: strict),

    // A small GPT that embeds the rest, and its training.
    .target(
      name: "EmbedTraining",
      dependencies: [
        "EmbedKernel", "EmbedResizing", "EmbedData", "EmbedDistributed", "CKernels", "CSystem",
      ],
      swiftSettings: strict),

    // Tables over the ranks of an MPI, which nothing else needs: it is opened when it is asked for.
    .target(
      name: "EmbedDistributed", dependencies: ["EmbedKernel", "CKernels", "CMPICalls", "CSystem"],
      swiftSettings: strict),

    // MARK: C interface
    // `scripts/install` makes the C library of these: the header that programs see, with what C does better
    // (errors of a thread, the pool of buffers), and the functions.
    .target(name: "CEmbedKernel"),
    .target(
      name: "EmbedKernelABI",
      dependencies: [
        "CEmbedKernel", "EmbedKernel", "EmbedRows", "EmbedSchemes", "EmbedModels", "EmbedData",
      ],
      swiftSettings: strict),

    // MARK: Command
    // A library, for tests and the fuzzer to link, and its entry, which is not named for the product:
    // where file names ignore case, Sources/embedkernel is Sources/EmbedKernel.
    .target(
      name: "EmbedCommand",
      dependencies: [
        "EmbedKernel", "EmbedRows", "EmbedSchemes", "EmbedFactorizations", "EmbedResizing",
        "EmbedModels", "EmbedData", "EmbedDistributed", "EmbedTraining", "CBLASCalls", "CSystem",
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "CommandEntry", dependencies: ["EmbedCommand", "CSystem"], swiftSettings: strict),

    // MARK: C
    .target(name: "CKernels"),
    // Opens OpenBLAS and LAPACKE when it needs them, so nothing is linked.
    .target(
      name: "CBLASCalls", dependencies: ["COpenBLAS"],
      linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    // Opens the shim over MPI, which scripts/mpi compiles with the machine's own wrapper.
    .target(
      name: "CMPICalls", exclude: ["shim"],
      linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    // The C library by one name on every system.
    .target(
      name: "CSystem", linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),
    .target(name: "CThreadPool"),
    .target(name: "CTokenizer", exclude: ["classes.inc"]),
    // Headers alone, where Debian has them for every compiler: with a pkg-config name it would be linked.
    .systemLibrary(
      name: "COpenBLAS",
      providers: [.apt(["libopenblas-dev", "liblapacke-dev"]), .brew(["openblas"])]),
    .systemLibrary(
      name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .systemLibrary(
      name: "CPCRE2", pkgConfig: "libpcre2-8",
      providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),

    // MARK: Benchmarks
    // Debian's libbenchmark-dev; a system library has no C++ sources, so the shim is a target.
    .target(
      name: "CGoogleBenchmark", path: "Benchmarks/CGoogleBenchmark",
      linkerSettings: [
        .linkedLibrary("benchmark"), .linkedLibrary("pthread", .when(platforms: [.linux])),
      ]),
    .target(name: "CCallgrind", path: "Benchmarks/CCallgrind"),
    .target(
      name: "BenchmarkHarness", dependencies: ["CGoogleBenchmark", "CCallgrind"],
      path: "Benchmarks/BenchmarkHarness", swiftSettings: strict),
    .target(name: "CReferenceLoops", path: "Benchmarks/CReferenceLoops"),
    .executableTarget(
      name: "EmbedBenchmarks",
      dependencies: [
        "BenchmarkHarness", "CReferenceLoops", "CBLASCalls", "EmbedKernel", "EmbedRows",
        "EmbedTraining",
      ],
      path: "Benchmarks/EmbedBenchmarks", swiftSettings: strict),

    // MARK: Tests
    .executableTarget(
      name: "TokenizerPeer", dependencies: ["EmbedData"], path: "Tests/Support/TokenizerPeer",
      swiftSettings: strict),
    .target(
      name: "ReferenceKernels", path: "Tests/Support/ReferenceKernels", swiftSettings: strict),
    .target(name: "TestSupport", path: "Tests/Support/TestSupport", swiftSettings: strict),
    .target(name: "AllocationCounter", path: "Tests/Support/AllocationCounter"),
    .target(name: "TuningOff", path: "Tests/Support/TuningOff"),
    .executableTarget(
      name: "AllocationProbe",
      dependencies: [
        "EmbedKernel", "EmbedRows", "EmbedSchemes", "EmbedTraining", "AllocationCounter",
      ],
      path: "Tests/Support/AllocationProbe", swiftSettings: strict),
    .executableTarget(
      name: "SaveProbe", dependencies: ["EmbedFiles"], path: "Tests/Support/SaveProbe",
      swiftSettings: strict),
    // What tests of mapped tables start.
    .executableTarget(
      name: "MappedProbe", dependencies: ["EmbedKernel", "EmbedRows"],
      path: "Tests/Support/MappedProbe", swiftSettings: strict),
    // What scripts/soak runs.
    .executableTarget(
      name: "SoakProbe",
      dependencies: ["EmbedKernel", "EmbedRows", "AllocationCounter", "TestSupport"],
      path: "Tests/Support/SoakProbe", swiftSettings: strict),
    // What scripts/test-mpi starts, over threads too.
    .executableTarget(
      name: "DistributedProbe", dependencies: ["EmbedDistributed", "EmbedKernel"],
      path: "Tests/Support/DistributedProbe", swiftSettings: strict),
    // What scripts/fuzz runs, and scripts/test-races.
    .target(name: "CFuzzDriver", path: "Tests/Support/CFuzzDriver"),
    .executableTarget(
      name: "FuzzProbe",
      dependencies: [
        "EmbedKernel", "EmbedModels", "EmbedData", "EmbedTraining", "EmbedCommand", "CFuzzDriver",
      ],
      path: "Tests/Support/FuzzProbe", exclude: ["Corpus"], swiftSettings: strict),
    .executableTarget(
      name: "RaceProbe",
      dependencies: [
        "EmbedKernel", "EmbedSchemes", "EmbedModels", "EmbedData", "EmbedTraining", "CSystem",
      ],
      path: "Tests/Support/RaceProbe", exclude: ["suppressions.txt"], swiftSettings: strict),
    .testTarget(
      name: "EmbedFilesTests", dependencies: ["EmbedFiles", "SaveProbe", "TestSupport"],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EmbedDistributedTests",
      dependencies: [
        "EmbedDistributed", "EmbedKernel", "EmbedModels", "TestSupport", "TuningOff",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "EmbedModelsTests",
      dependencies: ["EmbedModels", "EmbedKernel", "TestSupport", "TuningOff"],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EmbedKernelTests",
      dependencies: [
        "EmbedKernel", "EmbedFactorizations", "EmbedResizing", "EmbedModels", "EmbedData",
        "ReferenceKernels", "AllocationProbe", "TestSupport", "TuningOff",
      ],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EmbedFactorizationsTests",
      dependencies: ["EmbedFactorizations", "EmbedKernel", "TestSupport", "TuningOff"],
      swiftSettings: strict),
    .testTarget(
      name: "EmbedResizingTests",
      dependencies: ["EmbedResizing", "EmbedKernel", "TestSupport", "TuningOff"],
      swiftSettings: strict),
    .testTarget(
      name: "EmbedRowsTests",
      dependencies: [
        "EmbedRows", "EmbedModels", "EmbedKernel", "CKernels", "ReferenceKernels",
        "AllocationProbe", "MappedProbe", "TestSupport", "TuningOff",
      ],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EmbedSchemesTests",
      dependencies: ["EmbedSchemes", "EmbedKernel", "TestSupport", "TuningOff"],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EmbedDifferentiableTests",
      dependencies: ["EmbedDifferentiable", "EmbedKernel", "TuningOff"],
      swiftSettings: strict),
    // The loops that the article on training loops shows.
    .testTarget(
      name: "TrainingExamples",
      dependencies: [
        "EmbedKernel", "EmbedData", "EmbedDifferentiable", "EmbedTraining", "TuningOff",
      ],
      path: "Tests/TrainingExamples", swiftSettings: strict),
    .testTarget(
      name: "EmbedDataTests", dependencies: ["EmbedData", "TestSupport"],
      resources: [.copy("Fixtures")], swiftSettings: strict),
    .testTarget(
      name: "EmbedTrainingTests",
      dependencies: [
        "EmbedTraining", "EmbedKernel", "EmbedResizing", "EmbedData", "EmbedDistributed",
        "CKernels",
        "CBLASCalls", "ReferenceKernels", "TestSupport", "TuningOff",
      ],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EmbedCommandTests",
      dependencies: [
        "CommandEntry", "EmbedCommand", "EmbedKernel", "EmbedSchemes", "EmbedModels", "EmbedData",
        "EmbedTraining",
        "TestSupport", "TuningOff",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "EmbedKernelABITests",
      dependencies: [
        "EmbedKernelABI", "CEmbedKernel", "EmbedKernel", "EmbedRows", "TestSupport", "TuningOff",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "BenchmarkHarnessTests",
      dependencies: ["BenchmarkHarness", "CReferenceLoops", "TestSupport"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17,
  cxxLanguageStandard: .cxx17
)
