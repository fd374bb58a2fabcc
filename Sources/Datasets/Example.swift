import Diagnostics

/// One item of a dataset: an image, what is asked about it, and the parts that are seen in it.
package struct Example: Sendable, Equatable {
  /// Unique in the dataset.
  package var id: String
  /// The image file, absolute or relative to the working folder. JPEG, PNG or WebP.
  package var imagePath: String
  /// The user's text with `<image>` once in it.
  package var prompt: String
  /// The right answer.
  package var answer: String
  /// What is in the image, for grouping; nil when the dataset does not say.
  package var className: String?
  /// Of the image file's bytes, 16 hex digits of SHA-256: examples of one picture have the same.
  package var picture: String
  /// What the dataset names as this example's cluster: a scene, a photographer, a video. Either all examples have one or none.
  package var cluster: String?
  package var parts: [Part]
  /// The keys of the row that have no meaning here, as they were.
  package var meta: [(String, JSON)]
  /// SHA-256 over the bytes of image and masks and over everything that the model or a probe is told.
  package var digest: String
  /// `metadata.jsonl:12`, for errors.
  package var place: String

  package struct Part: Sendable, Equatable {
    /// The word for the part, as a probe looks for it.
    package var label: String
    /// The label, made unique in its example: the second leg is `leg#2`. Rows of the part carry it.
    package var name: String
    /// A picture of the image's size, 8 bits deep.
    package var maskPath: String
    /// The pixel value that marks the part; nil: any but 0.
    package var value: Int?
  }

  /// Examples of one unit are not independent of each other; see `IndependentUnit`.
  package var unit: String { cluster ?? picture }

  package static func == (a: Example, b: Example) -> Bool { a.id == b.id && a.digest == b.digest }
}
