//! Picks the role: PID 1 is the agent, `executor` the process under test.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("executor") => guest::executor::main(),
        _ if std::process::id() == 1 => guest::agent::main(),
        _ => {
            eprintln!(
                "this program is the inside of a zdtm-detached VM: it runs as PID 1 there, started by the harness"
            );
            ExitCode::from(2)
        }
    }
}
