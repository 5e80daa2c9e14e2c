//! The processes of a program while it is carried out. The first one leads: it has the program and
//! tells each of the others, over a socket, which step it is to carry out. When all is done the
//! sockets are closed, and each process waits for the agent on pipes of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use protocol::message::{FailedAssertion, SetupFailure};
use protocol::wire;
use scenarios::program::{ObjectName, Queues};
use scenarios::{Program, Step};
use serde::{Deserialize, Serialize};

use super::setup::{self, infrastructure};
use super::world::World;
use super::{Other, Rights, StepMark, listen};
use crate::external::FIRST_INHERITED;
use crate::observe::Made;
use crate::sys;

/// The first number of the pipes for the processes that the program makes: standard input and
/// output of each, in the order of their forks.
pub(crate) const FIRST_PIPE: RawFd = 730;

/// A process and what the program made there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    /// Its name in the program.
    pub(super) name: String,
    /// Its number, as the processes see it.
    pub(super) pid: i32,
    /// With the names that its objects have everywhere.
    pub(super) made: Vec<Made>,
    /// It has ended, and its parent has not waited for it.
    pub(super) has_ended: bool,
}

impl Member {
    /// The process itself, when all steps are done.
    pub(super) fn of(process: &ObjectName, world: &World, program: &Program) -> Self {
        let made = world.made(process, &Queues::of(program));
        Member { name: process.0.clone(), pid: std::process::id().cast_signed(), made, has_ended: false }
    }

    /// What the agent needs to know of it.
    pub(super) fn as_other(&self) -> Other {
        Other { made: self.made.clone(), zombie: self.has_ended.then_some(self.pid) }
    }
}

/// What the first process says to another.
#[derive(Serialize, Deserialize)]
enum Order {
    /// Carry out the step with this index.
    CarryOut(usize),
    /// Another process carries out the step with this index, which takes a disk.
    PassOver(usize),
    /// End.
    Exit,
    /// All steps are done.
    Conclude,
    /// These are the processes: check the assertions about your objects.
    Check(Vec<Member>),
}

/// What the other answers.
#[derive(Serialize, Deserialize)]
enum Reply {
    CarriedOut(Result<(), SetupFailure>),
    Concluded(Member),
    Checked(Result<Vec<FailedAssertion>, String>),
}

/// Both ends of the socket between the first process and another.
struct Channel {
    first: BufReader<UnixStream>,
    other: UnixStream,
}

/// The processes of a program.
pub(super) struct Processes<'a> {
    program: &'a Program,
    rights: Rights,
    /// The names, the first process's first.
    names: Vec<ObjectName>,
    /// Made at the first fork.
    channels: BTreeMap<ObjectName, Channel>,
    /// The processes that have ended.
    ended: Vec<Member>,
    pipes: Vec<OwnedFd>,
}

impl<'a> Processes<'a> {
    pub(super) fn new(program: &'a Program, rights: Rights) -> Self {
        let (channels, ended, pipes) = (BTreeMap::new(), Vec::new(), Vec::new());
        Processes { program, rights, names: program.processes(), channels, ended, pipes }
    }

    /// In the first process: has another one carry out a step.
    pub(super) fn carry_out(&mut self, process: &ObjectName, index: usize) -> Result<(), SetupFailure> {
        self.order(process, &Order::CarryOut(index))
    }

    /// In the first process: says to the others that `by` is about to carry out a step. They have
    /// answered when this comes back.
    pub(super) fn pass_over(&mut self, by: &ObjectName, index: usize) -> Result<(), SetupFailure> {
        let program = self.program;
        let forked = program.steps[..index].iter().filter_map(|line| match &line.step {
            Step::Fork { process } if process != by && self.channels.contains_key(process) => Some(process.clone()),
            _ => None,
        });
        let forked: Vec<ObjectName> = forked.collect();
        for process in forked {
            self.order(&process, &Order::PassOver(index))?;
        }
        Ok(())
    }

    /// In the first process: has another one end, and waits until it is a zombie.
    pub(super) fn end(&mut self, process: &ObjectName) -> Result<(), SetupFailure> {
        let Reply::Concluded(member) = self.ask(process, &Order::Exit)? else {
            return Err(infrastructure(format!("the process {process}: an answer to another question")));
        };
        sys::wait_for_zombie(member.pid)
            .map_err(|error| infrastructure(format!("the end of the process {process}: {error}")))?;
        self.channels.remove(process);
        self.ended.push(Member { made: Vec::new(), has_ended: true, ..member });
        Ok(())
    }

    fn order(&mut self, process: &ObjectName, order: &Order) -> Result<(), SetupFailure> {
        match self.ask(process, order)? {
            Reply::CarriedOut(result) => result,
            _ => Err(infrastructure(format!("the process {process}: an answer to another question"))),
        }
    }

    fn ask(&mut self, process: &ObjectName, order: &Order) -> Result<Reply, SetupFailure> {
        let failed = |error: wire::WireError| infrastructure(format!("the process {process}: {error}"));
        let none = || infrastructure(format!("the process {process} was not made"));
        let channel = self.channels.get_mut(process).ok_or_else(none)?;
        wire::send(channel.first.get_mut(), order).map_err(failed)?;
        wire::receive(&mut channel.first).map_err(failed)
    }

    /// fork(2). The new process does not come back from this.
    pub(super) fn fork(&mut self, process: &ObjectName, world: &mut World) -> io::Result<()> {
        if self.channels.is_empty() {
            self.connect()?;
        }
        if sys::fork(0)? == 0 {
            StepMark::clear();
            let status = match self.live(process, world) {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("executor: the process {process}: {error}");
                    1
                }
            };
            std::process::exit(status);
        }
        Ok(())
    }

    /// A socket for each process but the first, and the pipes that the agent gave.
    fn connect(&mut self) -> io::Result<()> {
        let apart = |end: UnixStream| sys::set_apart(&end).map(UnixStream::from);
        for (index, name) in self.names[1..].iter().enumerate() {
            let (first, other) = UnixStream::pair()?;
            let channel = Channel { first: BufReader::new(apart(first)?), other: apart(other)? };
            self.channels.insert(name.clone(), channel);
            let number = FIRST_PIPE + 2 * RawFd::try_from(index).map_err(io::Error::other)?;
            self.pipes.extend([sys::adopt(number)?, sys::adopt(number + 1)?]);
        }
        Ok(())
    }

    /// The life of another process than the first.
    fn live(&mut self, process: &ObjectName, world: &mut World) -> io::Result<()> {
        let index = self.names[1..].iter().position(|name| name == process).ok_or(io::ErrorKind::NotFound)?;
        nix::unistd::dup2_stdin(&self.pipes[2 * index])?;
        nix::unistd::dup2_stdout(&self.pipes[2 * index + 1])?;
        nix::unistd::dup2_stderr(&self.pipes[2 * index + 1])?;
        let Some(made) = self.follow(process, world).map_err(io::Error::other)? else { return Ok(()) };
        // What the first process held for itself when it forked.
        sys::close_from(FIRST_INHERITED)?;
        listen(&mut BufReader::new(File::from(sys::adopt(0)?)), made);
        Ok(())
    }

    /// Carries out what the first process says, to the end of the program; what it made there.
    /// `None` where it is to end.
    fn follow(&mut self, process: &ObjectName, world: &mut World) -> Result<Option<Vec<Made>>, wire::WireError> {
        let Channel { other, .. } = self.channels.remove(process).ok_or(wire::WireError::Closed)?;
        let mut channel = BufReader::new(other);
        let program = self.program;
        let member = |world: &World| Member::of(process, world, program);
        let line = |index: usize| program.steps.get(index).ok_or(wire::WireError::Closed);
        loop {
            let reply = match wire::receive(&mut channel)? {
                Order::CarryOut(index) => {
                    Reply::CarriedOut(setup::carry_out_line(world, line(index)?, self.rights, self))
                }
                Order::PassOver(index) => Reply::CarriedOut(setup::pass_over(world, line(index)?)),
                Order::Exit => {
                    wire::send(channel.get_mut(), &Reply::Concluded(member(world)))?;
                    return Ok(None);
                }
                Order::Conclude => Reply::Concluded(member(world)),
                Order::Check(members) => {
                    let failed = setup::assertions(self.program, world, process, &members);
                    let reply = Reply::Checked(failed.map_err(|error| error.to_string()));
                    wire::send(channel.get_mut(), &reply)?;
                    return Ok(Some(member(world).made));
                }
            };
            wire::send(channel.get_mut(), &reply)?;
        }
    }

    /// In the first process: ends the carrying out. The other processes, in the order of their
    /// forks, and what they say of the assertions about their objects.
    pub(super) fn conclude(&mut self, first: Member) -> Result<(Vec<Member>, Vec<FailedAssertion>), SetupFailure> {
        let others: Vec<ObjectName> = self.names[1..].to_vec();
        let mut members = vec![first];
        for process in &others {
            if let Some(zombie) = self.ended.iter().find(|zombie| zombie.name == process.0) {
                members.push(zombie.clone());
                continue;
            }
            match self.ask(process, &Order::Conclude)? {
                Reply::Concluded(member) => members.push(member),
                _ => return Err(infrastructure(format!("the process {process}: an answer to another question"))),
            }
        }
        let mut all_failed = Vec::new();
        let living: Vec<&ObjectName> = others.iter().filter(|process| self.channels.contains_key(*process)).collect();
        for process in living {
            match self.ask(process, &Order::Check(members.clone()))? {
                Reply::Checked(Ok(failed)) => all_failed.extend(failed),
                Reply::Checked(Err(error)) => {
                    return Err(infrastructure(format!("the process {process}: checking assertions: {error}")));
                }
                _ => return Err(infrastructure(format!("the process {process}: an answer to another question"))),
            }
        }
        Ok((members, all_failed))
    }
}
