//! Tests that need machines: VMs, or agents on the host's own kernel. They are one program, so that
//! the harness is linked to it once.
//!
//! The groups run one after the other, because some of them use every core or look at everything
//! that this machine runs. Inside a group, tests run beside each other if the group allows it. A
//! test is named by its path: `cargo test -p harness --test machines model::` runs one group.
//! Skips are decided when the tests are listed; the reason is in brackets before the name.

mod program;
#[macro_use]
mod trial;

mod architecture;
mod assist;
mod ci;
mod desk;
mod endurance;
mod faults;
mod host;
mod model;
mod reference;
mod script;
mod subjects;
mod template;
mod vm;
mod zdtm;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// Whether tests of a group run beside each other.
#[derive(PartialEq)]
enum Order {
    Parallel,
    /// Each uses every core, or changes what the others use.
    Sequential,
}

type Group = fn(&Arguments) -> Vec<Trial>;

const GROUPS: [(Group, Order); 13] = [
    (architecture::tests, Order::Parallel),
    (assist::tests, Order::Parallel),
    (ci::tests, Order::Parallel),
    (desk::tests, Order::Parallel),
    (endurance::tests, Order::Sequential),
    (faults::tests, Order::Parallel),
    (host::tests, Order::Parallel),
    (model::tests, Order::Parallel),
    (reference::tests, Order::Parallel),
    (subjects::tests, Order::Sequential),
    (template::tests, Order::Sequential),
    (vm::tests, Order::Parallel),
    (zdtm::tests, Order::Sequential),
];

fn main() -> ExitCode {
    if host::is_elsewhere() {
        host::elsewhere().expect("in other surroundings");
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let mut failed = false;
    for (tests, order) in GROUPS {
        let mut arguments = arguments.clone();
        if order == Order::Sequential {
            arguments.test_threads = Some(1);
        }
        let mut chosen = tests(&arguments);
        chosen.retain(|test| !arguments.is_filtered_out(test));
        if !chosen.is_empty() {
            failed |= libtest_mimic::run(&arguments, chosen).has_failed();
        }
    }
    if failed { ExitCode::from(101) } else { ExitCode::SUCCESS }
}
