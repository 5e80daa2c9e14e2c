//! One campaign by several members, each a process of its own, that learn from each other through a
//! folder.
//!
//! Every member has a folder of its own in it and writes there only: state, findings and page as
//! any campaign, and in `corpus/` each program that showed something new. It reads those of the
//! others. Nothing is claimed between members, and there is no server, so a member can be killed at
//! any moment without a loss, and it goes on where it was when it comes back. Two members that find
//! the same before they know of each other both file it; all views of the whole have it once.
//!
//! What the others wrote is not trusted: it is read up to limits, and what is no program or no
//! state is left alone, with a notice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use protocol::limits::{CAMPAIGN_MEMBERS, CAMPAIGN_PROGRAM_BYTES};
use scenarios::Program;
use scenarios::diagnostic::Diagnostic;

use super::campaign::{Campaign, locked};
use super::page::page_of_all;
use super::setup::lock;
use super::state::{CORPUS, State, StateError};
use crate::cache::record::sha256;
use crate::judge::Signature;
use crate::limited;
use crate::notices::say;
use crate::usage::Usage;

/// How many members find a name by themselves.
const NUMBERED: usize = 256;

/// A member of a campaign.
#[derive(Debug)]
pub struct Share {
    folder: PathBuf,
    own: String,
    /// The programs that this member wrote, by file name.
    written: BTreeSet<String>,
    others: BTreeMap<String, Other>,
}

/// What is known of another member.
#[derive(Debug, Default)]
struct Other {
    /// Which file its state was: a new one has replaced it when it changed.
    read: Option<(u64, i64)>,
    state: Option<State>,
    programs: BTreeSet<String>,
    complained: bool,
}

/// What others have that this member did not know of.
#[derive(Debug, Default)]
pub struct News {
    /// Programs that showed something new.
    pub programs: Vec<Program>,
    /// States that changed.
    pub states: Vec<State>,
}

impl News {
    /// What others found.
    pub fn found(&self) -> impl Iterator<Item = &Signature> {
        self.states.iter().flat_map(|state| state.buckets.iter()).map(|bucket| &bucket.signature)
    }
}

impl Share {
    /// Joins as the member of this name, or as the first `member-N` that no process is; the lock is
    /// that of its folder.
    ///
    /// # Errors
    /// [`Usage`]: a name that is none, or another process is that member.
    pub fn join(folder: &Path, member: Option<&str>) -> Result<(Self, Flock<File>), Usage> {
        let join = |own: &str| lock(&folder.join(own)).map(|lock| (Self::new(folder, own), lock));
        if let Some(own) = member {
            if !is_name(own) {
                let what = "at most 64 letters, digits, `-`, `_` and `.`, and no `.` at the beginning";
                return Err(Usage(format!("--member {own:?}: a member's name is {what}")));
            }
            return join(own);
        }
        let mut last = None;
        for number in 1..=NUMBERED {
            match join(&format!("member-{number}")) {
                Ok(joined) => return Ok(joined),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("there is more than one number"))
    }

    fn new(folder: &Path, own: &str) -> Self {
        let (folder, own) = (folder.to_owned(), own.to_owned());
        Self { folder, own, written: BTreeSet::new(), others: BTreeMap::new() }
    }

    /// The folder of this member.
    pub fn own_folder(&self) -> PathBuf {
        self.folder.join(&self.own)
    }

    /// This member's seed, another one for each.
    pub fn seed(&self, seed: u64) -> u64 {
        let name = sha256(self.own.as_bytes());
        let number = u64::from_str_radix(&name[..16], 16).expect("a hash is of hexadecimal digits");
        // Above the seeds that people give, so that no two members have the same.
        seed ^ (number << 32)
    }

    /// The programs that this member wrote before it ended.
    pub fn own_programs(&mut self) -> Vec<Program> {
        let (programs, _) = read_programs(&self.own_folder(), &mut self.written);
        programs
    }

    /// Writes programs for the others.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, programs: &[Program]) -> io::Result<()> {
        let folder = self.own_folder().join("corpus");
        fs::create_dir_all(&folder)?;
        for program in programs {
            let text = scenarios::text::print_program(program);
            let name = format!("{}.program", &sha256(text.as_bytes())[..16]);
            if self.written.len() >= CORPUS || self.written.contains(&name) {
                continue;
            }
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(folder.join(&name)).map_err(|error| error.error)?;
            self.written.insert(name);
        }
        Ok(())
    }

    /// Refuses a folder whose members' campaign is another one.
    ///
    /// # Errors
    /// [`Usage`]
    pub fn check(&self, what: &str) -> Result<(), Usage> {
        for name in names(&self.folder)? {
            if let Err(error @ StateError::Other { .. }) = State::load(&self.folder.join(name), what) {
                return Err(Usage(error.to_string()));
            }
        }
        Ok(())
    }

    /// Reads what is new of the others.
    ///
    /// # Errors
    /// The folder cannot be listed; a member's campaign is another one.
    pub fn read(&mut self, what: &str) -> Result<News, Usage> {
        let mut news = News::default();
        for name in names(&self.folder)? {
            if name == self.own {
                continue;
            }
            let folder = self.folder.join(&name);
            let other = self.others.entry(name.clone()).or_default();
            let file = fs::metadata(folder.join("state.json"));
            let file = file.ok().map(|data| (data.ino(), data.mtime_nsec()));
            let mut fault = None;
            if file != other.read {
                match State::load(&folder, what) {
                    Ok(Some(state)) => {
                        other.state = Some(state.clone());
                        news.states.push(state);
                    }
                    Ok(None) => {}
                    Err(error @ StateError::Other { .. }) => return Err(Usage(error.to_string())),
                    Err(error) => fault = Some(error.to_string()),
                }
                other.read = file;
            }
            let (programs, unread) = read_programs(&folder, &mut other.programs);
            news.programs.extend(programs);
            if let Some(fault) = fault.or(unread).filter(|_| !std::mem::replace(&mut other.complained, true)) {
                say(&format!("of member {name}: {fault}; what is wrong there is left out"));
            }
        }
        Ok(news)
    }

    /// The campaign of all members, with this state of this one's.
    pub fn all(&self, own: &State) -> Vec<(&str, State)> {
        let others = self.others.iter().filter_map(|(name, other)| Some((name.as_str(), other.state.clone()?)));
        let mut all: Vec<_> = others.chain([(self.own.as_str(), own.clone())]).collect();
        all.sort_by(|one, other| one.0.cmp(other.0));
        all
    }

    /// Writes the page of all members.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_page(&self, own: &State) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(page_of_all(&self.all(own)).as_bytes())?;
        file.persist(self.folder.join("index.html")).map_err(|error| error.error)?;
        Ok(())
    }
}

impl Campaign<'_> {
    /// Gives the other members what is new here, and takes what is new there.
    pub(super) fn exchange(&self) {
        let Some(share) = self.settings.share else { return };
        let (new, what) = {
            let mut shared = self.lock();
            (std::mem::take(&mut shared.new), shared.state.what.clone())
        };
        let mut share = locked(share);
        let exchanged = share.write(&new).map_err(anyhow::Error::from).and_then(|()| Ok(share.read(&what)?));
        let news = match exchanged {
            Ok(news) => news,
            Err(error) => {
                // The next exchange tries again.
                self.lock().new.extend(new);
                return say(&format!("nothing is exchanged with the other members: {error:#}"));
            }
        };
        news.found().for_each(|signature| self.settings.known_failures.add(signature));
        let own = {
            let mut shared = self.lock();
            shared.found_by_others.extend(news.found().cloned());
            news.states.iter().for_each(|state| shared.state.learn_from(state));
            news.programs.into_iter().for_each(|program| shared.keep(program));
            shared.state.clone()
        };
        if let Err(error) = share.write_page(&own) {
            say(&format!("the page of all members is not written: {error}"));
        }
    }
}

/// Every member's state in a folder, by name.
///
/// # Errors
/// The folder cannot be listed, or a state cannot be read.
pub fn states(folder: &Path) -> Result<Vec<(String, State)>, Usage> {
    let mut all = Vec::new();
    for name in names(folder)? {
        let state = State::load_any(&folder.join(&name), None).map_err(|error| Usage(error.to_string()))?;
        all.extend(state.map(|state| (name, state)));
    }
    Ok(all)
}

/// The names of members, sorted; folders of another kind have none.
fn names(folder: &Path) -> Result<Vec<String>, Usage> {
    let wrong = |error: io::Error| Usage(format!("cannot list --share {}: {error}", folder.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)?.take(CAMPAIGN_MEMBERS) {
        let entry = entry.map_err(wrong)?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        names.extend(entry.file_name().into_string().ok().filter(|name| is_folder && is_name(name)));
    }
    names.sort();
    Ok(names)
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain)
}

/// The programs in a member's folder whose file names are not among these yet, and why one was not
/// read.
fn read_programs(folder: &Path, known: &mut BTreeSet<String>) -> (Vec<Program>, Option<String>) {
    let folder = folder.join("corpus");
    let (mut programs, mut fault) = (Vec::new(), None);
    let Ok(entries) = fs::read_dir(&folder) else { return (programs, fault) };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A file that is being written has no such name.
        let is_whole = name.ends_with(".program") && is_name(&name);
        if !is_whole || known.len() >= CORPUS || !known.insert(name.clone()) {
            continue;
        }
        match read_program(&folder.join(&name)) {
            Ok(program) => programs.push(program),
            Err(why) => fault = Some(format!("{}: {why}", folder.join(&name).display())),
        }
    }
    (programs, fault)
}

fn read_program(path: &Path) -> Result<Program, String> {
    let text = limited::read(path, CAMPAIGN_PROGRAM_BYTES).map_err(|error| error.to_string())?;
    let first = |all: Vec<Diagnostic>| all.first().map(|one| one.what.clone()).unwrap_or_default();
    scenarios::text::program(&text).map_err(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(text: &str) -> Program {
        scenarios::text::program(&format!("write f \"{text}\"\n")).unwrap()
    }

    fn member(folder: &Path, name: &str) -> (Share, Flock<File>) {
        Share::join(folder, Some(name)).unwrap()
    }

    #[test]
    fn a_member_finds_a_name_and_keeps_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let (one, first) = Share::join(folder.path(), None).unwrap();
        let (other, _second) = Share::join(folder.path(), None).unwrap();
        assert_eq!((&*one.own, &*other.own), ("member-1", "member-2"));
        assert_ne!(one.seed(1), other.seed(1));
        let error = Share::join(folder.path(), Some("member-1")).unwrap_err().to_string();
        assert!(error.contains("another campaign runs in it"), "{error}");
        drop(first);
        assert_eq!(Share::join(folder.path(), None).unwrap().0.own, "member-1");
        for name in ["", "../x", ".x", "a/b"] {
            assert!(Share::join(folder.path(), Some(name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_one_member_writes_the_others_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let ((mut one, lock), (mut other, _other)) = (member(folder.path(), "a"), member(folder.path(), "b"));
        one.write(&[program("1"), program("2"), program("1")]).unwrap();
        let mut state = State::new("criu".to_owned(), 7);
        state.programs = 5;
        state.save(&one.own_folder()).unwrap();
        let news = other.read("criu").unwrap();
        assert_eq!(news.programs.len(), 2);
        assert!(news.programs.contains(&program("2")));
        assert_eq!(news.states, [state]);
        let again = other.read("criu").unwrap();
        assert_eq!((again.programs.len(), again.states.len()), (0, 0));
        // One that comes back knows what it wrote.
        drop((one, lock));
        assert_eq!(member(folder.path(), "a").0.own_programs().len(), 2);
        let error = other.read("another").err();
        assert!(error.is_none(), "an unchanged state is not read again");
        let (mut third, _third) = member(folder.path(), "c");
        let error = third.read("another").unwrap_err().to_string();
        assert!(error.contains("is of criu, and this one would be of another"), "{error}");
    }

    #[test]
    fn what_could_not_be_written_is_written_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let ((mut own, _own), (mut other, _other)) = (member(folder.path(), "a"), member(folder.path(), "b"));
        other.write(&[program("1")]).unwrap();
        let name = other.written.first().unwrap();
        // No file can take the place of a folder.
        let in_the_way = own.own_folder().join("corpus").join(name);
        fs::create_dir_all(&in_the_way).unwrap();
        own.write(&[program("1")]).unwrap_err();
        fs::remove_dir(&in_the_way).unwrap();
        own.write(&[program("1")]).unwrap();
        assert!(in_the_way.is_file());
    }

    #[test]
    fn what_is_no_program_and_no_state_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let corpus = folder.path().join("bad/corpus");
        fs::create_dir_all(&corpus).unwrap();
        fs::write(corpus.join("1.program"), "\x01").unwrap();
        fs::write(corpus.join("2.program"), "x".repeat(1 << 20)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", corpus.join("3.program")).unwrap();
        fs::write(folder.path().join("bad/state.json"), "{").unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        let (mut own, _lock) = member(folder.path(), "a");
        let news = own.read("criu").unwrap();
        assert_eq!((news.programs.len(), news.states.len()), (0, 0));
        assert_eq!(own.others.keys().collect::<Vec<_>>(), ["bad"], "a link is no member");
    }
}
