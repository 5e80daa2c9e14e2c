//! The model of mounts and names against the host's own kernel: what it predicts is what is
//! observed.

mod catalogue;
mod document;
mod generated;

use libtest_mimic::{Arguments, Trial};
use testing::lack::lack_of_root;

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(lack_of_root() =>
        catalogue::the_catalogue_is_as_predicted,
        document::the_document_is_right,
        generated::generated_programs_are_as_predicted,
        generated::what_the_model_refuses_the_kernel_refuses,
    )
}
