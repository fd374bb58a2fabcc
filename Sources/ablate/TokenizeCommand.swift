import ArgumentParser
import Checkpoints
import Foundation

struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize", abstract: "Ids and decoded text of lines from standard input.")

  @Option(help: "A tokenizer.json file.") var tokenizer: String
  @Flag(help: "Each line is a JSON string; each answer is {\"ids\": [...], \"text\": ...}.") var jsonl = false

  func run() throws {
    let tokenizer = try Tokenizer(contentsOf: tokenizer)
    while let line = readLine(strippingNewline: true) {
      let text = jsonl ? try decode(line) : line
      let ids = try tokenizer.encode(text)
      guard jsonl else {
        print(ids.map(String.init).joined(separator: " "))
        continue
      }
      try printJSON(["ids": ids, "text": tokenizer.decode(ids)])
    }
  }

  private func decode(_ line: String) throws -> String {
    guard let text = try? JSONDecoder().decode(String.self, from: Data(line.utf8)) else {
      throw UsageError.line(String(line.prefix(60)))
    }
    return text
  }
}
