//! Changes of the tree that are not the process's own: by their paths, from outside.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use protocol::message::FIRST_DESCRIPTOR;

use super::world::World;
use super::{ProgramSlot, describe, names};

/// Carries out the changes of programs, in the mount namespace of this process.
pub(crate) fn carry_out(slots: &[ProgramSlot], proc: OwnedFd) -> io::Result<()> {
    let proc = Rc::new(proc);
    for slot in slots {
        let program = scenarios::text::program(&slot.program).map_err(|faults| io::Error::other(describe(&faults)))?;
        // Its disks and trees are the process's alone.
        let slot = ProgramSlot { disks: Vec::new(), trees: Vec::new(), ..slot.clone() };
        let world = World::new(&slot, Rc::clone(&proc), FIRST_DESCRIPTOR)?;
        for line in &program.changes {
            names::carry_out(&world, &line.step)
                .map_err(|error| io::Error::other(format!("line {}: change {}: {error}", line.number, line.step)))?;
        }
    }
    Ok(())
}
