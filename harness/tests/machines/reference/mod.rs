//! The reference engine on the host's own kernel.

mod ablation;
mod every;
mod judge;
mod packed;
mod planted;
mod refused;
mod same;
mod shared;
mod untouched;

use libtest_mimic::{Arguments, Trial};
use testing::lack::lack_of_root;

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    let mut tests = trials!(lack_of_root() =>
        same::both_ways_agree,
        same::generated_variations_come_back,
        refused::what_cannot_come_back_is_refused,
        refused::what_can_come_back_does,
        packed::packed_and_unpacked_verdicts_are_the_same,
        planted::a_campaign_finds_a_mistake,
        planted::a_comparison_of_two_engines_finds_the_mistake_of_one,
        planted::a_campaign_learns_what_is_broken,
        planted::a_campaign_ends_where_every_program_fails,
        planted::what_is_known_costs_nothing,
        shared::what_one_member_found_is_not_lost_and_not_filed_again,
        every::every_short_program_comes_back,
        every::a_mistake_is_found_by_the_shortest_program,
        untouched::looking_changes_nothing,
        untouched::a_process_can_do_what_its_twin_can,
        ablation::every_comparison_is_needed,
    );
    tests.extend(trials!(Some("only for mutants".to_owned()) => judge::the_catalogue_passes));
    tests
}
