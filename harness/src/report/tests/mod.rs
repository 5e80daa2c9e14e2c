//! Tests of the reports: what people and programs read.

mod artifacts_folder;
mod causes_first;
mod hostile;
mod html_report;
mod identities;
mod json_report;
mod merged_results;
pub(crate) mod run;
mod terminal_report;
mod whole_reports;
mod zdtm;
