import Experiments
import Foundation
import Glibc
import TestSupport
import Testing

@Suite(.enabled(if: Command.path != nil, "the command is not built beside the tests"), .serialized)
struct KillTests {
  @Test func `killed at 50 seeded random moments, the same command ends with the same rows, bit for bit`() throws {
    let study = try TinyStudy()
    let whole = try study.finish(out: "whole")
    #expect(whole.status == 0, "\(whole.errors)")
    let expected = try study.folder.rows(in: "whole")
    #expect(expected.count > 100)
    var generator = SeededNumbers(20_251_124)
    var (kills, folders, resumed) = (0, 0, 0)
    while kills < 50 {
      let out = "killed-\(folders)"
      folders += 1
      // A few kills a folder, so that some hit a run that was resumed before.
      for _ in 0..<3 where kills < 50 {
        let process = try study.start(out: out)
        let delay = whole.seconds * Double(generator.next() >> 11) * 0x1p-53
        usleep(UInt32(delay * 1e6))
        // Killed or, if the moment came too late, done: then this was no kill.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        if process.terminationReason == .uncaughtSignal { kills += 1 } else { #expect(process.terminationStatus == 0) }
      }
      let finish = try study.finish(out: out)
      #expect(finish.status == 0, "\(finish.errors)")
      if (1..<24).contains(finish.stored) { resumed += 1 }
      #expect(try study.folder.rows(in: out) == expected, "\(out)")
    }
    #expect(resumed > 0, "only \(resumed) of \(folders) runs were resumed in their middle")
  }

  @Test func `a signal ends a run with 75 and what is stored stays`() throws {
    let study = try TinyStudy()
    _ = try study.finish(out: "whole")
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
      let out = "signal-\(signal)"
      let process = try study.start(out: out)
      // From the moment at which rows come: the handlers are there, and work is left.
      while process.isRunning, (try? study.folder.rows(in: out))?.isEmpty ?? true { usleep(2000) }
      kill(process.processIdentifier, signal)
      process.waitUntilExit()
      #expect(process.terminationReason == .exit && process.terminationStatus == 75)
      #expect(try !study.folder.rows(in: out).isEmpty)
      #expect(try study.finish(out: out).status == 0)
      #expect(try study.folder.rows(in: out) == study.folder.rows(in: "whole"))
    }
  }
}
