//! Tests of the reports: what people and programs read.

mod artifacts_folder;
mod json_report;
mod run;
mod terminal_report;
mod whole_reports;
