import CShims
import Glibc
import PluginRuntime

// The sandboxed executor, of itself for a library and as a Python interpreter for a program: started by the host for one plugin, with its line as descriptors 3 (socket), 4 (shared memory) and 5 (the
// library's sealed bytes). `WorkerService` says what it does, `Sandbox` what it gives up first.

ablate_die_with_parent()
// Jobs are told to end as a group; the host finishes its example first. A file that grows gets an error and not a signal.
for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ] { signal(number, SIG_IGN) }
if CommandLine.arguments.count > 1 { PythonLauncher.run(CommandLine.arguments) }
guard let channel = WorkerChannel(socket: 3, shared: 4) else { _exit(1) }
close(4)
WorkerService(channel, library: 5, sandbox: Sandbox.enter).run()
_exit(0)
