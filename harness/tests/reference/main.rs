//! The reference engine on the host's own kernel. Skips are decided when the tests are listed.

mod ablation;
mod every;
mod packed;
mod planted;
mod refused;
mod same;

use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn() -> Result<(), Failed>;

const TESTS: [(&str, Test); 13] = [
    ("both_ways_agree", same::both_ways_agree),
    ("generated_variations_come_back", same::generated_variations_come_back),
    ("what_cannot_come_back_is_refused", refused::what_cannot_come_back_is_refused),
    ("what_can_come_back_does", refused::what_can_come_back_does),
    ("packed_and_unpacked_verdicts_are_the_same", packed::packed_and_unpacked_verdicts_are_the_same),
    ("a_campaign_finds_a_mistake", planted::a_campaign_finds_a_mistake),
    (
        "a_comparison_of_two_engines_finds_the_mistake_of_one",
        planted::a_comparison_of_two_engines_finds_the_mistake_of_one,
    ),
    ("a_campaign_learns_what_is_broken", planted::a_campaign_learns_what_is_broken),
    ("a_campaign_ends_where_every_program_fails", planted::a_campaign_ends_where_every_program_fails),
    ("what_is_known_costs_nothing", planted::what_is_known_costs_nothing),
    ("every_short_program_comes_back", every::every_short_program_comes_back),
    ("a_mistake_is_found_by_the_shortest_program", every::a_mistake_is_found_by_the_shortest_program),
    ("every_comparison_is_needed", ablation::every_comparison_is_needed),
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
        return Some("file handles need root");
    }
    let mut command = Command::new("unshare");
    let made = command.args(["-mpiu", "--fork", "true"]).stderr(Stdio::null()).status();
    (!made.is_ok_and(|status| status.success())).then_some("no namespaces")
}
