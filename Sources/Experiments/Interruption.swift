import Dispatch
import Glibc
import Synchronization

/// The wish to stop: the first SIGINT, SIGTERM or SIGUSR1 lets the unit of work in hand finish and be stored, a second
/// one ends the process at once (nothing stored is lost by that either).
package final class Interruption: Sendable {
  private let count = Atomic<Int>(0)

  package init() {}

  package var isRequested: Bool { count.load(ordering: .acquiring) > 0 }

  /// Says that a signal came. The first call only; the second one exits.
  package func request() {
    guard count.add(1, ordering: .acquiringAndReleasing).oldValue == 0 else { _exit(75) }
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
