//! Standard input to the shell in the VM, its output to standard output. One thread, one poll(2).

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::shell::{FromShell, ToShell};
use protocol::{Event, Request};
use scenarios::Bytes;

use super::terminal::{Window, size};
use crate::exit;
use crate::process::interrupt;
use crate::vm::{Vm, VmError};

/// So many bytes of input go into one message.
const CHUNK: usize = 16 << 10;

/// Until the shell ends; its exit status.
pub(super) fn relay(vm: &mut Vm, window: Option<&Window>) -> anyhow::Result<u8> {
    let mut input = Some(io::stdin());
    let mut reported = size();
    loop {
        if let Some(status) = hear(vm)? {
            return Ok(status);
        }
        let (typed, resized) = wait(vm, input.as_ref(), window)?;
        if interrupt::requested() {
            return Ok(exit::INTERRUPTED);
        }
        if let Some(window) = window {
            if resized {
                window.seen()?;
            }
            // Also without the signal, which another thread may have taken: what is typed next must
            // meet the new size.
            let now = size();
            if now != reported {
                vm.send(&Request::ToShell(ToShell::Resize(now)))?;
                reported = now;
            }
        }
        if let Some(stdin) = input.as_ref().filter(|_| typed) {
            let mut chunk = vec![0; CHUNK];
            // Not through std's buffer, which would hold back what poll(2) does not see any more.
            let count = nix::unistd::read(stdin, &mut chunk).context("reading standard input")?;
            chunk.truncate(count);
            let message = if count == 0 { ToShell::End } else { ToShell::Input(Bytes(chunk)) };
            if count == 0 {
                input = None;
            }
            vm.send(&Request::ToShell(message))?;
        }
    }
}

/// Writes all that has come; the exit status when the shell has ended.
fn hear(vm: &mut Vm) -> anyhow::Result<Option<u8>> {
    loop {
        match vm.receive(Instant::now()) {
            Ok(Event::FromShell(FromShell::Output(bytes))) => write_out(io::stdout().lock(), &bytes)?,
            Ok(Event::FromShell(FromShell::Errors(bytes))) => write_out(io::stderr().lock(), &bytes)?,
            Ok(Event::FromShell(FromShell::Ended(status))) => return Ok(Some(u8::try_from(status).unwrap_or(255))),
            Ok(Event::Broken { why }) => anyhow::bail!("the agent in the VM: {why}"),
            Ok(_) => {}
            Err(VmError::TimedOut { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn write_out(mut to: impl Write, bytes: &Bytes) -> anyhow::Result<()> {
    to.write_all(bytes.as_slice()).and_then(|()| to.flush()).context("writing what the shell says")
}

/// Waits for anything; whether there is input, and whether the window has another size.
fn wait(vm: &Vm, input: Option<&io::Stdin>, window: Option<&Window>) -> io::Result<(bool, bool)> {
    let mut polled = vec![PollFd::new(vm.channel_fd(), PollFlags::POLLIN)];
    let others = [input.map(AsFd::as_fd), window.map(AsFd::as_fd), interrupt::fd()];
    let indices = others.map(|fd| {
        let fd = fd?;
        polled.push(PollFd::new(fd, PollFlags::POLLIN));
        Some(polled.len() - 1)
    });
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) if !interrupt::requested() => {}
            Err(Errno::EINTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let is_ready = |index: Option<usize>| index.is_some_and(|index| polled[index].any().unwrap_or(false));
    Ok((is_ready(indices[0]), is_ready(indices[1])))
}
