//! The processes of a program: which there are, which carries out a step, and what their objects
//! are called.

use super::{Line, ObjectName, Program, Step};

/// The process that a program starts as.
pub const FIRST_PROCESS: &str = "main";

impl ObjectName {
    /// An object of a process as it is called everywhere: those of the first process have their
    /// plain names, `fd0`, those of others start with the process, `child.fd0`.
    pub fn of_process(&self, process: &ObjectName) -> ObjectName {
        if process.0 == FIRST_PROCESS { self.clone() } else { ObjectName(format!("{}.{}", process.0, self.0)) }
    }

    /// The process of such a name, and what that calls the object: `child`, `fd0` of `child.fd0`.
    pub fn parts(&self) -> (ObjectName, ObjectName) {
        let (process, name) = self.0.split_once('.').unwrap_or((FIRST_PROCESS, &self.0));
        (ObjectName(process.to_owned()), ObjectName(name.to_owned()))
    }
}

impl Program {
    /// The processes that it has, the first one first, then in the order of their forks.
    pub fn processes(&self) -> Vec<ObjectName> {
        let forked = self.steps.iter().filter_map(|line| match &line.step {
            Step::Fork { process } => Some(process.clone()),
            _ => None,
        });
        std::iter::once(ObjectName(FIRST_PROCESS.to_owned())).chain(forked).collect()
    }

    /// Those of them that end.
    pub fn ended(&self) -> impl Iterator<Item = &ObjectName> {
        self.steps.iter().filter_map(|line| match &line.step {
            Step::Exit { process } => Some(process),
            _ => None,
        })
    }

    /// Each step with the process that carries it out.
    pub fn by_process(&self) -> impl Iterator<Item = (ObjectName, &Line)> {
        let mut process = ObjectName(FIRST_PROCESS.to_owned());
        self.steps.iter().map(move |line| {
            if let Step::As { process: next } = &line.step {
                process = next.clone();
            }
            (process.clone(), line)
        })
    }
}
