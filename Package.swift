// swift-tools-version: 6.2
import PackageDescription

// Modules stand in a line: each imports only what stands above it, and the leaves. See README.md for a line on each.

/// A library of the system, found by the name of its Debian package (Makefile: `make deps` installs them).
func system(_ name: String, apt: String) -> Target {
  .systemLibrary(name: name, providers: [.apt([apt])])
}

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude)
}

let package = Package(
  name: "ablate",
  products: [
    .executable(name: "ablate", targets: ["ablate"]), .executable(name: "ablate-worker", targets: ["ablate-worker"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    .package(url: "https://github.com/hummingbird-project/swift-mustache", exact: "2.1.1"),
  ],
  targets: [
    // leaves
    system("COneDNN", apt: "libdnnl-dev"),
    system("CFFI", apt: "libffi-dev"),
    system("CSeccomp", apt: "libseccomp-dev"),
    system("CTurboJPEG", apt: "libturbojpeg0-dev"),
    system("CSpng", apt: "libspng-dev"),
    system("CWebP", apt: "libwebp-dev"),
    system("CTIFF", apt: "libtiff-dev"),
    system("CCrypto", apt: "libssl-dev"),
    .target(name: "PluginABI", exclude: ["bindings"]),
    .target(name: "CShims", linkerSettings: [.linkedLibrary("gomp")]),
    .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off", "-Wno-psabi"])]),
    module("Diagnostics", ["CCrypto"]),
    module("Statistics", []),
    // the line
    module("Tensors", ["Diagnostics", "COneDNN", "CShims", "CKernels"]),
    module("Checkpoints", ["Tensors", "CTurboJPEG", "CSpng", "CWebP"]),
    module("Datasets", ["Checkpoints", "CTIFF"]),
    module("Models", ["Checkpoints"]),
    .target(
      name: "PluginRuntime", dependencies: ["PluginABI", "Diagnostics", "CFFI", "CShims"],
      resources: ["ablate_plugin.py", "worker.py"].map { .embedInCode("Python/\($0)") }),
    module("PluginStore", ["PluginRuntime", "CCrypto"]),
    module("PluginConformance", ["PluginRuntime", "CShims"]),
    module("PluginHost", ["Models", "PluginRuntime"]),
    module(
      "Experiments",
      [
        "Datasets", "PluginHost", .product(name: "Yams", package: "Yams"),
        .product(name: "GRDB", package: "GRDB.swift"),
      ]),
    .target(
      name: "Reports",
      dependencies: ["Experiments", "Statistics", .product(name: "Mustache", package: "swift-mustache")],
      resources: ["report.mustache", "table.mustache", "gallery.mustache", "report.css", "report.js"].map {
        .embedInCode("Page/\($0)")
      }),
    .executableTarget(
      name: "ablate",
      dependencies: [
        "Reports", "PluginConformance", "PluginStore",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      resources: [
        "Makefile.txt", "plugin.json.txt", "plugin.c.txt", "plugin.cc.txt", "plugin.swift.txt", "plugin.rs.txt",
        "plugin.py.txt",
        "ablate_plugin.h", "ablate_plugin.rs", "ablate_note.S.txt",
      ].map { .embedInCode("Templates/\($0)") }),
    .executableTarget(name: "ablate-worker", dependencies: ["PluginRuntime", "CSeccomp"]),
    .executableTarget(name: "statistics-benchmark", dependencies: ["Statistics"], path: "Benchmarks/Statistics"),
    .executableTarget(
      name: "plugin-benchmark", dependencies: ["PluginRuntime"], path: "Benchmarks/Plugins",
      exclude: ["twice.c", "twice_plain.c", "twice.swift", "twice.py"]),
    // tests
    .target(name: "TestSupport", path: "Tests/TestSupport"),
    tests("CheckpointsTests", ["Checkpoints", "TestSupport"], exclude: ["Fixtures"]),
    tests("DatasetsTests", ["Datasets", "TestSupport"], exclude: ["Fixtures"]),
    tests("ModelsTests", ["Models", "TestSupport"]),
    tests("PluginABITests", ["TestSupport"]),
    tests("PluginHostTests", ["PluginHost", "ablate-worker", "TestSupport"]),
    tests("ExperimentsTests", ["Experiments", "Reports", "TestSupport"], exclude: ["Golden"]),
    tests("StatisticsTests", ["Statistics"]),
    tests("CommandTests", ["Diagnostics", "TestSupport"]),
    tests("ClusterTests", ["Experiments", "TestSupport"], exclude: ["slurm.sh"]),
  ],
  swiftLanguageModes: [.v6]
)
