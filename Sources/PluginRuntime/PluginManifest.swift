import Diagnostics
import Foundation

/// `plugin.json`: all that is needed to list, validate and plan a plugin without running its code.
/// The schema is manifests/plugin.schema.json.
package struct PluginManifest: Sendable, Equatable {
  package enum Kind: String, CaseIterable, Sendable { case intervention, probe }
  package enum Grade: String, CaseIterable, Sendable { case sdk, plain, python }

  /// Sites of one tower that the plugin may touch; "all" stands for every tower or site.
  package struct Footprint: Sendable, Equatable {
    package var tower: String
    package var sites: [String]
    package var access: Access

    package func covers(tower: String, site: String, access: Access) -> Bool {
      (self.tower == "all" || self.tower == tower) && (sites.contains("all") || sites.contains(site))
        && self.access.isSuperset(of: access)
    }
  }

  /// The path of the file itself, for messages.
  package var path: String
  /// The file's bytes: a worker reads the same again.
  package var source: Data
  package var id: String
  package var version: String
  package var summary: String
  package var kind: Kind
  package var grade: Grade
  /// A file name in the manifest's folder: a shared library, or a program in Python.
  package var library: String
  package var abiMajor: Int
  package var abiMinMinor: Int
  package var params: [ParameterSpec]
  package var footprint: [Footprint]
  package var licence: String
  /// A file name in the manifest's folder.
  package var golden: String
  /// Changing nothing is not worth a warning: the plugin is a control.
  package var expectsNoChange: Bool
  /// Present in grade plain only.
  package var plain: PlainSpec?

  /// The folder that holds the manifest and its library.
  package var folder: String { String(path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex)) }
  package var libraryPath: String { "\(folder)/\(library)" }
  package var goldenPath: String { "\(folder)/\(golden)" }

  package func covers(tower: String, site: String, access: Access) -> Bool {
    footprint.contains { $0.covers(tower: tower, site: site, access: access) }
  }
}

/// What may be done with an activation: the bits of ABLATE_READ and ABLATE_WRITE, spelled "r", "w", "rw".
package struct Access: OptionSet, Sendable, Hashable, CustomStringConvertible {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  package static let read = Access(rawValue: 1)
  package static let write = Access(rawValue: 2)

  package init?(_ text: String) {
    switch text {
    case "r": self = .read
    case "w": self = .write
    case "rw": self = [.read, .write]
    default: return nil
    }
  }

  package var description: String { (contains(.read) ? "r" : "") + (contains(.write) ? "w" : "") }
}

/// The part of a plain plugin's manifest that stands in for the header: the function, its type, and proof of it.
package struct PlainSpec: Sendable, Equatable {
  package var symbol: String
  package var signature: PlainSignature
  /// One per argument of the signature.
  package var bindings: [Binding]
  package var knownAnswer: KnownAnswer

  /// Where an argument comes from at a visit.
  package enum Binding: Sendable, Equatable {
    /// The address of the view's first element.
    case viewData
    /// The number of elements of the view.
    case viewCount
    case parameter(String)
  }

  /// What the function makes of `input` under `params`; run in a child process before anything else.
  package struct KnownAnswer: Sendable, Equatable {
    package var input: [Float]
    package var params: [String: GivenValue]
    package var expect: [Float]
    /// Absolute.
    package var tolerance: Float
  }
}
