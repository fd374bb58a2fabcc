import Dispatch
import Glibc
import Synchronization

/// The wish to stop: the first SIGINT, SIGTERM or SIGUSR1 lets the unit of work in hand finish and be stored, a second
/// one ends the process at once (nothing stored is lost by that either).
package final class Interruption: Sendable {
  /// When the first one came, in nanoseconds of a clock that only goes forward; 0: none yet.
  private let first = Atomic<UInt64>(0)

  package init() {}

  package var isRequested: Bool { first.load(ordering: .acquiring) > 0 }

  /// Says that a signal came. The second one exits, unless it comes with the first: a cluster that stops a job signals all its
  /// processes, and a batch script hands its own on.
  package func request() {
    let now = DispatchTime.now().uptimeNanoseconds
    let (isFirst, then) = first.compareExchange(expected: 0, desired: now, ordering: .acquiringAndReleasing)
    if !isFirst, now - then > 500_000_000 { _exit(75) }
  }

  /// Listens from now on. Keep what it returns: letting go of it ends the listening.
  ///
  /// - Parameter said: called once, on another thread, at the first signal.
  package func listen(_ said: @escaping @Sendable () -> Void) -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM, SIGUSR1].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      // Without @Sendable the closure would inherit the main actor of a main.swift, and trap on this queue.
      source.setEventHandler { @Sendable [self] in
        request()
        said()
      }
      source.activate()
      return source
    }
  }
}
