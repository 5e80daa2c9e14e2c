//! The state of its own descriptors that a process gets from fcntl(2) alone.

use std::os::fd::RawFd;

use protocol::observation::{Control, SignalOwner};

use crate::sys;

/// Of the descriptor with this number; `None` with `O_PATH`.
pub(super) fn control(number: RawFd) -> Option<Control> {
    let owner = match sys::signal_owner(number).ok()? {
        0 => SignalOwner::Unset,
        pid if pid == std::process::id().cast_signed() => match sys::is_owned_by_thread(number).ok()? {
            true => SignalOwner::ItsThread,
            false => SignalOwner::Itself,
        },
        _ => SignalOwner::Other,
    };
    let signal = sys::signal_of(number).ok()?;
    Some(Control { owner, signal, seals: sys::seals_of(number).ok(), pipe_size: sys::pipe_size(number).ok() })
}
