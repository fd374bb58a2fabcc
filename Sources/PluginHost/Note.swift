/// What a receipt says in words.
package struct Note: Sendable, Equatable {
  package enum Kind: String, Sendable {
    /// What was done, for whoever looks the trial up: the words that a control drew.
    case fact
    /// Parts that this plugin could not be asked about in this example; a report counts them.
    case omission
    /// What whoever reads the results must know: it changed nothing, or nothing that is read.
    case warning
  }

  package var kind: Kind
  package var text: String

  package init(_ kind: Kind, _ text: String) { (self.kind, self.text) = (kind, text) }
}
