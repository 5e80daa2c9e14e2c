//! The VM that `zdtm.py` runs in. A shell in it takes a command for each test; its output comes as
//! messages of the agent, and a line with a random number and the exit status ends each command.
//!
//! What the guest sends is only text here. It is kept up to a limit.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

use protocol::shell::{FromShell, Moment, ShellRequest, ToShell};
use protocol::{Event, Request};
use scenarios::Bytes;

use crate::machine::MachineError;
use crate::subject::criu::GUEST_TREE;
use crate::vm::{Vm, VmSpec};

/// So many bytes of what a command says are kept, from its end.
const KEPT: usize = 1 << 20;

/// Loads the modules of the group `zdtm`, in their order (`image/mod.rs`).
const PREPARE: &str = "\
for name in $(sed -n 's/^zdtm://p' /modules/index); do
    [ -d /sys/module/$name ] || insmod /modules/$name.ko || exit 1
done
grep -q '^zdtm:' /modules/index || { echo 'this kernel lacks a module of the group zdtm (vm-images/images.toml)'; exit 1; }
";

/// How long what may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The boot.
    pub boot: Duration,
    /// One test.
    pub test: Duration,
}

/// A VM with a shell.
pub struct Guest {
    vm: Vm,
    limit: Duration,
    nonce: u64,
    /// How many commands it had.
    number: u32,
    /// The end of what the last command said.
    heard: Vec<u8>,
}

impl Guest {
    /// Boots the VM, and prepares it.
    ///
    /// # Errors
    /// It does not come up, or its kernel lacks something.
    pub fn boot(spec: &VmSpec, limits: &Limits) -> Result<Self, MachineError> {
        let mut vm = Vm::boot(spec, Instant::now() + limits.boot)?;
        let request = ShellRequest { trial: None, at: Moment::Setup, terminal: None };
        vm.send(&Request::Shell(Box::new(request)))?;
        match vm.receive(Instant::now() + limits.boot)? {
            Event::FromShell(FromShell::Ready(_)) => {}
            other => return Err(vm.astray(format!("{other:.200?} instead of a shell")).into()),
        }
        let nonce = RandomState::new().build_hasher().finish();
        let mut guest = Self { vm, limit: limits.test, nonce, number: 0, heard: Vec::new() };
        match guest.command(&format!("( {PREPARE} )"))? {
            0 => Ok(guest),
            status => {
                let said = guest.heard();
                Err(guest.vm.astray(format!("status {status} of its preparation: {said:.500}")).into())
            }
        }
    }

    /// Runs one test: the exit status of `zdtm.py`, and what it said.
    ///
    /// # Errors
    /// The VM is lost, or the test takes too long; the VM is of no more use.
    pub fn run(&mut self, test: &str) -> Result<(i32, String), MachineError> {
        // busybox's tar is not enough for criu: the userland's programs come first.
        let variables = "PATH=/usr/sbin:/usr/bin:/tools/bin HOME=/root TMPDIR=/tmp LC_ALL=C";
        let command = format!(
            "( cd /{GUEST_TREE}/test && {variables} python3 ./zdtm.py run -k never -f ns -t zdtm/static/{test} )"
        );
        let status = self.command(&command)?;
        Ok((status, self.heard()))
    }

    /// The end of what the last command said.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    /// Has the shell carry out a command, with nothing to read; its exit status.
    fn command(&mut self, command: &str) -> Result<i32, MachineError> {
        self.number += 1;
        let mark = format!("zdtm-detached {:016x} {} ", self.nonce, self.number);
        let line = format!("{command} < /dev/null 2>&1; printf '\\n%s%s\\n' '{mark}' $?\n");
        self.heard.clear();
        self.vm.send(&Request::ToShell(ToShell::Input(Bytes(line.into_bytes()))))?;
        let deadline = Instant::now() + self.limit;
        loop {
            match self.vm.receive(deadline).map_err(|error| {
                MachineError::from(error).waiting_for("the end of a test of zdtm (limit of the test)".to_owned())
            })? {
                Event::FromShell(FromShell::Output(bytes) | FromShell::Errors(bytes)) => {
                    self.heard.extend(&bytes.0);
                    let surplus = self.heard.len().saturating_sub(KEPT);
                    self.heard.drain(..surplus);
                    if let Some(status) = ended(&self.heard, &mark) {
                        return Ok(status);
                    }
                }
                other => return Err(self.vm.astray(format!("{other:.200?} instead of a command's output")).into()),
            }
        }
    }
}

/// The status behind the mark, which is the last line: no command can say it by chance.
fn ended(heard: &[u8], mark: &str) -> Option<i32> {
    let last = heard.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(last).ok()?.strip_prefix(mark)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_over_when_its_own_mark_is_there() {
        let of = |heard: &str| ended(heard.as_bytes(), "zdtm-detached 00f 2 ");
        assert_eq!(of("PASS\n\nzdtm-detached 00f 2 0\n"), Some(0));
        assert_eq!(of("\nzdtm-detached 00f 2 137\n"), Some(137));
        let none = ["", "\nzdtm-detached 00f 2 1", "\nzdtm-detached 00f 1 0\n", "x zdtm-detached 00f 2 0\n", "0\n"];
        assert!(none.into_iter().all(|heard| of(heard).is_none()));
    }
}
