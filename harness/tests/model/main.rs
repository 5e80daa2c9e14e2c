//! The model of mounts and names against the host's own kernel: what it predicts is what is
//! observed. Skips are decided when the tests are listed.

mod catalogue;
mod document;
mod generated;

use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn() -> Result<(), Failed>;

const TESTS: [(&str, Test); 4] = [
    ("the_catalogue_is_as_predicted", catalogue::is_as_predicted),
    ("the_document_is_right", document::is_right),
    ("generated_programs_are_as_predicted", generated::are_as_predicted),
    ("what_the_model_refuses_the_kernel_refuses", generated::refusals_are_the_kernels),
];

fn main() {
    let lack = lack_of_root();
    let trials = TESTS.map(|(name, test)| match lack {
        Some(why) => Trial::test(name, test).with_ignored_flag(true).with_kind(why),
        None => Trial::test(name, test),
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}

fn lack_of_root() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("disks need root");
    }
    let mut command = Command::new("unshare");
    let made = command.args(["-mpiu", "--fork", "true"]).stderr(Stdio::null()).status();
    (!made.is_ok_and(|status| status.success())).then_some("no namespaces")
}
