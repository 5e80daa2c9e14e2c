//! Arguments that several commands have, and what each of them means. The fuzz targets read them
//! from the environment.

mod axes;
mod machines;
pub mod output;
mod share;
mod store;

pub use axes::AxesArgs;
pub use machines::MachineArgs;
pub use share::ShareArgs;
pub use store::StoreArgs;
