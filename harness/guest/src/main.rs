//! Picks the role: PID 1 is the agent of a VM, `host-agent` the one on the host's own kernel,
//! `executor` the process under test, `assist` a user's help for criu. Under the name of a hook it
//! is one for criu.

use std::process::ExitCode;

fn main() -> ExitCode {
    if guest::caller::is_hook() {
        return guest::caller::hook_main();
    }
    match std::env::args().nth(1).as_deref() {
        Some("executor") => guest::executor::main(std::env::args().nth(2).as_deref()),
        Some("assist") => guest::assist::command::main(std::env::args_os().skip(2)),
        Some("host-agent") => guest::agent::host_main(std::env::args_os().skip(2)),
        _ if std::process::id() == 1 => guest::agent::main(),
        _ => {
            eprintln!("this program is the inside of zdtm-detached: the harness starts it, in a VM or in namespaces");
            ExitCode::from(2)
        }
    }
}
