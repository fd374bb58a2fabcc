import Testing

import Experiments

@Suite struct ProgressTests {
  private final class Screen {
    var text: [String] = []
    var time = 100.0
  }

  private func progress(_ style: Progress.Style, total: Int = 100, done: Int = 0, _ screen: Screen) -> Progress {
    Progress(total: total, done: done, style: style, write: { screen.text.append($0) }, now: { screen.time })
  }

  @Test func `a bar is drawn at most ten times a second, and at the end`() {
    let screen = Screen()
    var bar = progress(.bar(colour: false, width: 80), screen)
    for _ in 0..<100 {
      screen.time += 0.01
      bar.advance(by: 1, at: "model")
    }
    bar.finish()
    #expect((9...12).contains(screen.text.count), "\(screen.text.count)")
    #expect(screen.text.last == "\n")
    let last = screen.text[screen.text.count - 2]
    #expect(last == "\r" + String(repeating: "━", count: 24) + " 100/100 trials 100.0 trials/s, 0 s left model\u{1b}[K")
  }

  @Test func `the rate counts only what this process did`() {
    let screen = Screen()
    var bar = progress(.bar(colour: false, width: 80), total: 100, done: 80, screen)
    screen.time += 10
    bar.advance(by: 5, at: "")
    #expect(screen.text[0].contains("85/100 trials 2.0 s/trial, 30 s left"))
  }

  @Test func `without a terminal a plain line comes every few seconds and at the end`() {
    let screen = Screen()
    var lines = progress(.lines, screen)
    for _ in 0..<100 {
      screen.time += 0.13
      lines.advance(by: 1, at: "m")
    }
    lines.finish()
    #expect(
      screen.text == [
        "39/100 trials m 7.7 trials/s, 8 s left\n", "78/100 trials m 7.7 trials/s, 3 s left\n",
        "100/100 trials m 7.7 trials/s, 0 s left\n",
      ])
  }

  @Test func `a bar stays inside a narrow terminal, with and without colour`() {
    for colour in [true, false] {
      let screen = Screen()
      var bar = progress(.bar(colour: colour, width: 40), screen)
      screen.time += 1
      bar.advance(by: 50, at: "a-model-with-a-very-long-name")
      var visible = screen.text[0].replacing(/\u{1b}\[[0-9]*[mK]/, with: "")
      visible.removeFirst()
      #expect(visible.count <= 40)
      #expect(screen.text[0].contains("\u{1b}[36m") == colour)
    }
  }

  @Test func `a dumb terminal gets lines`() {
    #expect(Progress.style(environment: ["TERM": "dumb"]) == .lines)
  }

  @Test func `durations are said as people say them`() {
    #expect(
      [0.4, 59.4, 200, 7500, .infinity].map(Progress.duration) == [
        "0 s", "59 s", "3 min 20 s", "2 h 5 min", "a long time",
      ])
  }
}
