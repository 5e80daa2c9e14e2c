//! One file per subcommand.

pub mod image;
