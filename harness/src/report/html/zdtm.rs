//! The results of CRIU's own tests: causes, then each test.

use maud::{Markup, html};

use crate::report::zdtm::{Numbers, ZdtmResult, ZdtmTest, causes};

/// The section; nothing without tests.
pub(super) fn zdtm(tests: &[ZdtmTest]) -> Markup {
    html! {
        @if !tests.is_empty() {
            section #zdtm aria-label="zdtm" {
                h2 { "zdtm: " (Numbers::of(tests)) }
                @for cause in causes(tests) {
                    details {
                        summary { (cause.tests.len()) " x " strong { (cause.title()) } }
                        @for test in &cause.tests { (failed(test)) }
                    }
                }
                (others(tests, ZdtmResult::Skipped, "skipped"))
                (others(tests, ZdtmResult::Passed, "passed"))
            }
        }
    }
}

fn failed(test: &ZdtmTest) -> Markup {
    html! {
        p { code { (test.name) } @if let Some(flavor) = &test.flavor { ", flavor " (flavor) } ": " (test.reason) " (" (test.from) ")" }
        @if !test.log.is_empty() { pre { @for line in &test.log { (line) "\n" } } }
    }
}

fn others(tests: &[ZdtmTest], result: ZdtmResult, word: &str) -> Markup {
    let all: Vec<&ZdtmTest> = tests.iter().filter(|test| test.result == result).collect();
    html! {
        @if !all.is_empty() {
            details {
                summary { (all.len()) " " (word) }
                ul { @for test in all { li { code { (test.name) } @if !test.reason.is_empty() { ": " (test.reason) } } } }
            }
        }
    }
}
