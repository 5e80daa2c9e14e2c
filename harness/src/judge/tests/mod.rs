//! Tests of the judge through its public doors.

mod changed_rules;
mod comparison_rules;
mod expectation_rules;
mod fixture;
mod lifecycle_rules;
mod mutation;
mod probe_rules;
mod properties;
mod trial_rules;
mod verdict_rules;
