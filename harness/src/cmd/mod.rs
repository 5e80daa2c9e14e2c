//! One small file per subcommand.

pub mod doctor;
