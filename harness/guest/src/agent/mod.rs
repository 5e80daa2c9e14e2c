//! PID 1: brings its machine up, takes requests, leads trials, reports observations to the host.
//!
//! The machine is a VM ([`main`]), or namespaces on the host's own kernel ([`host_main`]). One
//! thread, one trial at a time. Whatever it cannot do is an event for the host, never silence.

mod bare;
mod boot;
mod change;
mod child;
mod copy;
mod disks;
mod engine;
mod external;
mod failed_restore;
mod forked;
mod fsid;
mod host;
mod images;
mod kernel_log;
mod litter;
mod machine;
mod modules;
mod offer;
mod pipes;
mod prepare;
mod relay;
mod restored;
mod sandbox;
mod shell;
mod subject;
mod trial;
mod twin;
mod user_namespace;
mod warm;
mod whereabouts;

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use nix::errno::Errno;
use protocol::message::{Event, Ready, Request};
use protocol::wire;

use boot::BootError;
use host::Side;
use machine::Machine;
use warm::Warmth;

/// The agent's life in a VM; ends with the machine.
pub fn main() -> ExitCode {
    let end = match boot::vm::bring_up() {
        Ok((port, modules)) => serve(port, Machine::Vm(modules)),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = end {
        // The console is all that is left to tell it.
        eprintln!("agent: {error}");
    }
    // The guest's own data is worth nothing: no sync, no unmount.
    let _ = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_POWER_OFF);
    ExitCode::FAILURE
}

/// The agent's life on the host's own kernel; `arguments` are the number of the channel's
/// descriptor and, where programs may need disks, the folder with blank filesystems.
pub fn host_main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let number = arguments.next().and_then(|number| number.to_str()?.parse().ok());
    let blank = arguments.next().map(PathBuf::from);
    let channel = number.ok_or(Errno::EINVAL.into()).and_then(crate::sys::keep_only).map(File::from);
    let mut channel = match channel {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("agent: the first argument must be the number of an open descriptor: {error}");
            return ExitCode::from(2);
        }
    };
    let confined = match host::divide() {
        Ok(Side::Watcher(watcher)) => {
            // It must be closed as soon as the agent closes it.
            drop(channel);
            return watcher.watch();
        }
        Ok(Side::Agent { confined }) => boot::host::enter(blank.as_deref()).map(|()| confined),
        Err(error) => Err(error),
    };
    let end = match confined {
        Ok(confined) => serve(channel, Machine::Host(offer::Offer::look(confined, blank.is_some()))),
        Err(error) => {
            let _ = wire::send(&mut channel, &Event::Broken { why: error.to_string() });
            Err(error.into())
        }
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the agent stops serving.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("bringing the machine up: {0}")]
    Boot(#[from] BootError),
    #[error("the channel to the host: {0}")]
    Wire(#[from] wire::WireError),
    #[error("the channel to the host: {0}")]
    Io(#[from] std::io::Error),
}

fn serve(channel: File, mut machine: Machine) -> Result<(), Stop> {
    let mut to_host = channel.try_clone()?;
    let mut from_host = BufReader::new(channel);
    let ready = describe(&machine);
    wire::send(&mut to_host, &Event::Ready(ready.clone()))?;
    loop {
        match wire::receive(&mut from_host) {
            Ok(Request::Run(request)) => {
                let number = request.trial;
                let mut progress =
                    |stage: &str| wire::send(&mut to_host, &Event::Progress { trial: number, stage: stage.to_owned() });
                let report = Box::new(trial::run(&request, &mut machine, &mut progress)?);
                wire::send(&mut to_host, &Event::Finished { trial: number, report })?;
            }
            Ok(Request::WarmUp { cycle }) => {
                let Warmth { failed, traces } = warm::warm_up(&mut machine, cycle && ready.criu.is_some());
                wire::send(&mut to_host, &Event::Warm { failed, traces })?;
            }
            Ok(Request::Wake(wake)) => {
                if let Err(error) = warm::set_clock(&machine, wake.unix_time_ns) {
                    wire::send(&mut to_host, &Event::Broken { why: format!("setting the clock: {error}") })?;
                    return Err(error.into());
                }
                if let Err(error) = warm::seed_again(&machine, wake.nonce) {
                    wire::send(&mut to_host, &Event::Broken { why: format!("seeding random numbers: {error}") })?;
                    return Err(error.into());
                }
                let ready = Ready { tainted: machine.tainted(), uptime_ms: uptime_ms(), ..ready.clone() };
                wire::send(&mut to_host, &Event::Awake { nonce: wake.nonce, ready })?;
            }
            Ok(Request::HandOver(files)) => {
                if let Err(error) = subject::take(&files, &mut from_host) {
                    wire::send(&mut to_host, &Event::Broken { why: format!("taking another criu: {error}") })?;
                    return Err(error.into());
                }
                wire::send(&mut to_host, &Event::HandedOver { criu: crate::criu::version() })?;
            }
            Ok(Request::Bare(request)) => {
                let (durations_us, failure) = bare::run(&request, &mut machine);
                wire::send(&mut to_host, &Event::Bare { trial: request.trial, durations_us, failure })?;
            }
            Ok(Request::Shell(request)) => shell::run(&request, &mut machine, &mut from_host, &mut to_host)?,
            // It was typed when the shell had ended already.
            Ok(Request::ToShell(_)) => {}
            Ok(Request::Shutdown) | Err(wire::WireError::Closed) => return Ok(()),
            Err(error) => {
                wire::send(&mut to_host, &Event::Broken { why: error.to_string() })?;
                return Err(error.into());
            }
        }
    }
}

fn describe(machine: &Machine) -> Ready {
    let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let root = File::open("/").ok();
    let statmount = root.as_ref().map(|root| crate::sys::statmount_by_fd(std::os::fd::AsFd::as_fd(root)));
    Ready {
        kernel: kernel.unwrap_or_default(),
        criu: crate::criu::version(),
        filesystems: machine.filesystems(),
        lacking: machine.lacking(),
        statmount_by_fd: statmount.is_some_and(|result| result.is_ok()),
        soft_dirty: soft_dirty(),
        tainted: machine.tainted(),
        uptime_ms: uptime_ms(),
    }
}

/// Whether a page that was just written to is marked so: bit 55 of its entry
/// (Documentation/admin-guide/mm/pagemap.rst).
fn soft_dirty() -> bool {
    use std::os::unix::fs::FileExt;
    let Ok(Some(page_size)) = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE) else { return false };
    let written = std::hint::black_box(vec![1_u8; 1]);
    let page = written.as_ptr().addr() as u64 / page_size.unsigned_abs();
    let mut entry = [0; 8];
    let read = File::open("/proc/self/pagemap").and_then(|pagemap| pagemap.read_exact_at(&mut entry, page * 8));
    read.is_ok() && u64::from_ne_bytes(entry) & (1 << 55) != 0
}

/// Milliseconds since the kernel's start; for a copy of a saved machine without the time that it
/// stood still.
fn uptime_ms() -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    std::time::Duration::from_secs_f64(seconds).as_millis().try_into().unwrap_or(u64::MAX)
}
