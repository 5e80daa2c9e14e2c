//! PID 1 of the VM: brings the machine up, takes requests, leads trials, tells the host what was seen.
//!
//! One thread, one trial at a time. Whatever it cannot do is an event for the host, never silence.

mod boot;
mod child;
mod disks;
mod engine;
mod kernel_log;
mod litter;
mod modules;
mod trial;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use protocol::message::{Event, Ready, Request};
use protocol::wire;

/// The agent's life; ends with the machine.
pub fn main() -> ExitCode {
    let end = match boot::bring_up() {
        Ok(port) => serve(port),
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

/// Why the agent stops serving.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("bringing the machine up: {0}")]
    Boot(#[from] boot::BootError),
    #[error("the channel to the host: {0}")]
    Wire(#[from] wire::WireError),
    #[error("the channel to the host: {0}")]
    Io(#[from] std::io::Error),
}

fn serve(port: File) -> Result<(), Stop> {
    let mut to_host = port.try_clone()?;
    let mut from_host = BufReader::new(port);
    let mut modules = modules::Modules::read(Path::new("/modules"));
    let ready = describe(&mut modules);
    wire::send(&mut to_host, &Event::Ready(ready))?;
    loop {
        match wire::receive(&mut from_host) {
            Ok(Request::Run(request)) => {
                let number = request.trial;
                let mut progress =
                    |stage: &str| wire::send(&mut to_host, &Event::Progress { trial: number, stage: stage.to_owned() });
                let report = Box::new(trial::run(&request, &mut modules, &mut progress)?);
                wire::send(&mut to_host, &Event::Finished { trial: number, report })?;
            }
            Ok(Request::Shutdown) | Err(wire::WireError::Closed) => return Ok(()),
            Err(error) => {
                wire::send(&mut to_host, &Event::Broken { why: error.to_string() })?;
                return Err(error.into());
            }
        }
    }
}

fn describe(modules: &mut modules::Modules) -> Ready {
    let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let root = File::open("/").ok();
    let statmount = root.as_ref().map(|root| crate::sys::statmount_by_fd(std::os::fd::AsFd::as_fd(root)));
    Ready {
        kernel: kernel.unwrap_or_default(),
        criu: crate::criu::version(),
        filesystems: modules.filesystems(),
        statmount_by_fd: statmount.is_some_and(|result| result.is_ok()),
        tainted: kernel_log::tainted(),
        uptime_ms: std::time::Duration::from_secs_f64(seconds).as_millis().try_into().unwrap_or(u64::MAX),
    }
}
