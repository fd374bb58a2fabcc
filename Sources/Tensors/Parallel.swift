import CShims
import Synchronization

/// How many threads the engine's team has.
package var engineThreads: Int { Int(omp_get_max_threads()) }

/// The calling thread's number in the team; 0 outside of a loop.
package var engineThread: Int { Int(omp_get_thread_num()) }

/// Runs `body` over 0..<n, split into one contiguous range per thread of oneDNN's own team (libgomp): about 4 us on two
/// threads, and no second pool that fights oneDNN's spinning workers. Each index is handled by one thread alone, so results
/// do not depend on the number of threads. Below `grain` indices it runs on the caller.
package func parallelFor(_ n: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
  guard n > grain, engineThreads > 1 else {
    if n > 0 { body(0..<n) }
    return
  }
  withoutActuallyEscaping(body) { body in
    var job = Job(n: n, body: body)
    withUnsafeMutablePointer(to: &job) { job in
      GOMP_parallel({ runShare(of: $0!.assumingMemoryBound(to: Job.self)) }, job, 0, 0)
    }
  }
}

/// `parallelFor` with a body that may fail; throws one of the failures when all threads are done.
package func parallelTry(
  _ n: Int, grain: Int = 1, _ body: (Range<Int>) throws(TensorError) -> Void
) throws(TensorError) {
  let failure = Mutex<TensorError?>(nil)
  parallelFor(n, grain: grain) { range in
    do throws(TensorError) { try body(range) } catch { failure.withLock { $0 = error } }
  }
  if let error = failure.withLock({ $0 }) { throw error }
}

private struct Job {
  let n: Int
  let body: (Range<Int>) -> Void
}

private func runShare(of job: UnsafeMutablePointer<Job>) {
  let threads = Int(omp_get_num_threads())
  let me = Int(omp_get_thread_num())
  let n = job.pointee.n
  let range = (n * me / threads)..<(n * (me + 1) / threads)
  if !range.isEmpty { job.pointee.body(range) }
}
