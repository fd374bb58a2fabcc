import CShims

/// Loads the library at `path` in a child process, constructors and all.
///
/// - Returns: how the child ended where it ended badly; nil where the loader took the library, or refused it in words.
package func endOfLoading(_ path: String, seconds: Double = 5) -> ProcessEnd? {
  var call = ablate_child_call()
  call.timeout_ms = UInt32(seconds * 1000)
  let outcome = path.withCString { library in
    "ablate_no_such_symbol".withCString { symbol in  // nothing is called
      (call.library, call.symbol) = (library, symbol)
      return holdingLoader { ablate_call_in_child(&call) }
    }
  }
  return switch outcome {
  case ABLATE_CHILD_SIGNAL: .signal(call.value)
  case ABLATE_CHILD_EXITED: .status(call.value)
  case ABLATE_CHILD_TIMED_OUT: .hung(seconds: seconds)
  default: nil
  }
}
