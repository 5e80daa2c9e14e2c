//! The program with everything inside, in a build without optimisation: what the tests of the one
//! file carry elsewhere, made in a tenth of a release build's time.

#[path = "../src/main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
