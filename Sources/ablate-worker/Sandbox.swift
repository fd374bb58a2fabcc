import CSeccomp
import CShims
import Glibc

/// What a worker gives up before it loads a plugin. Each means is tried alone, since kernels differ, and those that hold are told.
enum Sandbox {
  /// - Parameter mebibytes: of address space.
  /// - Returns: the means that hold, for provenance.
  static func enter(mebibytes: Int) -> [String] {
    close(mebibytes: mebibytes, readable: [], allowsWritableCode: false) + (filterCalls() ? ["seccomp"] : [])
  }

  /// All but the filter of calls, which forbids to start a program.
  ///
  /// - Parameters:
  ///   - readable: beside the folders of libraries.
  ///   - allowsWritableCode: for interpreters, whose libraries make code.
  static func close(mebibytes: Int, readable others: [String], allowsWritableCode: Bool) -> [String] {
    var held: [String] = []
    if limit(mebibytes) { held.append("rlimits") }
    let folders = readable() + others
    let granted = ablate_drop_privileges(allowsWritableCode ? 1 : 0)
    for (bit, name) in [
      (ABLATE_NO_NEW_PRIVILEGES, "no_new_privs"), (ABLATE_NO_CAPABILITIES, "no_capabilities"),
      (ABLATE_NO_WRITABLE_CODE, "mdwe"),
    ] where granted & bit != 0 { held.append(name) }
    let landlock = withCStrings(folders) { ablate_landlock($0, folders.count) }
    if landlock > 0 { held.append("landlock \(landlock)") }
    return held
  }

  /// No cores, no growing files, few descriptors, bounded memory; threads are bounded by the address space of their stacks.
  private static func limit(_ mebibytes: Int) -> Bool {
    let limits: [(__rlimit_resource, UInt)] = [
      (RLIMIT_CORE, 0), (RLIMIT_FSIZE, 0), (RLIMIT_NOFILE, 64), (RLIMIT_AS, UInt(mebibytes) << 20),
    ]
    return limits.allSatisfy { resource, most in
      var limit = rlimit(rlim_cur: most, rlim_max: most)
      return setrlimit(Int32(resource.rawValue), &limit) == 0
    }
  }

  /// Where libraries are: the system's folders, and those of what this program itself has loaded (Swift's runtime).
  private static func readable() -> [String] {
    var folders = ["/lib", "/usr/lib", "/lib64", "/etc/ld.so.cache"]
    withUnsafeMutablePointer(to: &folders) { list in
      ablate_loaded_libraries(
        { context, name in
          guard let name, let list = context?.assumingMemoryBound(to: [String].self) else { return }
          let path = String(cString: name)
          let folder = String(path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex))
          if !folder.isEmpty, !list.pointee.contains(folder) { list.pointee.append(folder) }
        }, list)
    }
    return folders
  }

  private static func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
  ) -> Result {
    let copies = strings.map { UnsafePointer(strdup($0)) }
    defer { for copy in copies { free(UnsafeMutablePointer(mutating: copy)) } }
    return copies.withUnsafeBufferPointer { body($0.baseAddress) }
  }

  // MARK: seccomp

  /// Refused with EPERM: other programs, other processes, the network, the kernel's wider doors, and memory that `RLIMIT_AS` does not see.
  /// What a runtime needs for threads and memory stays. Names that this libseccomp does not know are passed over.
  private static let refused = [
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "mount_setattr", "fsopen",
    "fsmount", "move_mount", "open_tree", "open_by_handle_at", "name_to_handle_at", "bpf", "perf_event_open", "keyctl",
    "add_key", "request_key", "userfaultfd", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "delete_module", "reboot", "swapon", "swapoff", "acct", "settimeofday", "clock_settime", "adjtimex",
    "sethostname", "setdomainname", "personality", "iopl", "ioperm", "memfd_create", "memfd_secret", "shmget", "shmat",
    "msgget", "semget", "mq_open", "inotify_init1", "fanotify_init", "quotactl", "syslog", "setuid", "setgid",
    "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset", "mknod", "mknodat", "sched_setscheduler",
    "sched_setattr", "setpriority", "tkill",
  ]

  private static func filterCalls() -> Bool {
    guard let filter = filter() else { return false }
    defer { seccomp_release(filter) }
    return seccomp_load(filter) == 0
  }

  /// The filter as a program for the kernel, for who loads it himself; empty where there is none.
  static func filterProgram() -> [UInt8] {
    var ends: [Int32] = [0, 0]
    guard let filter = filter(), pipe(&ends) == 0 else { return [] }
    defer { seccomp_release(filter) }
    // Some kilobytes, which the pipe holds.
    let isWhole = seccomp_export_bpf(filter, ends[1]) == 0
    Glibc.close(ends[1])
    defer { Glibc.close(ends[0]) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = isWhole ? read(ends[0], &bytes, bytes.count) : 0
    return Array(bytes.prefix(max(0, count)))
  }

  private static func filter() -> scmp_filter_ctx? {
    guard let filter = seccomp_init(cseccomp_allow()) else { return nil }
    let own = UInt64(UInt32(bitPattern: getpid()))
    /// Refuses a call where `test` holds of an argument.
    func refuse(_ name: String, _ error: Int32 = EPERM, where test: [scmp_arg_cmp] = []) -> Bool {
      let number = seccomp_syscall_resolve_name(name)
      guard number >= 0 else { return true }
      return seccomp_rule_add_array(filter, cseccomp_refuse(UInt16(error)), number, UInt32(test.count), test) == 0
    }
    // New threads, and no new processes; clone3 hides its flags in memory, and who gets ENOSYS takes clone.
    let thread = UInt64(0x10000)  // CLONE_THREAD
    let rules =
      refused.allSatisfy { refuse($0) } && refuse("clone3", ENOSYS)
      && refuse("clone", where: [scmp_arg_cmp(arg: 0, op: SCMP_CMP_MASKED_EQ, datum_a: thread, datum_b: 0)])
      // Limits only of itself, where the hard ones hold.
      && refuse("prlimit64", where: [scmp_arg_cmp(arg: 0, op: SCMP_CMP_NE, datum_a: 0, datum_b: 0)])
      // Signals only to itself, as abort() does.
      && refuse("kill", where: [scmp_arg_cmp(arg: 0, op: SCMP_CMP_NE, datum_a: own, datum_b: 0)])
      && refuse("tgkill", where: [scmp_arg_cmp(arg: 0, op: SCMP_CMP_NE, datum_a: own, datum_b: 0)])
    if rules { return filter }
    seccomp_release(filter)
    return nil
  }
}
