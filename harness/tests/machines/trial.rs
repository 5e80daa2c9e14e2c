//! Functions as tests of this program.

use libtest_mimic::{Failed, Trial};

/// What a test function returns: nothing where its assertions panic.
pub(crate) trait End {
    fn end(self) -> Result<(), Failed>;
}

impl End for () {
    fn end(self) -> Result<(), Failed> {
        Ok(())
    }
}

impl End for Result<(), Failed> {
    fn end(self) -> Result<(), Failed> {
        self
    }
}

/// A test with its path; `lack` is why it cannot run here.
pub(crate) fn trial<E: End>(path: &str, lack: Option<&str>, test: impl FnOnce() -> E + Send + 'static) -> Trial {
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    let trial = Trial::test(name, move || test().end());
    match lack {
        Some(why) => trial.with_ignored_flag(true).with_kind(why),
        None => trial,
    }
}

/// Functions of a module as tests, after what the machine may lack for them (an `Option<String>`)
/// and what makes a test of a function that takes something.
macro_rules! trials {
    ($lack:expr, $with:expr => $($test:path),+ $(,)?) => {{
        let lack: Option<String> = $lack;
        let path = |name| format!("{}::{name}", module_path!());
        vec![$($crate::trial::trial(&path(stringify!($test)), lack.as_deref(), $with($test))),+]
    }};
    ($lack:expr => $($test:path),+ $(,)?) => { trials!($lack, std::convert::identity => $($test),+) };
}
