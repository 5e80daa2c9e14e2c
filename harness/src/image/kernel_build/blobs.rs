//! The files of a revision, read out of a repository by `git ls-tree` and `git cat-file --batch`.
//! Neither runs a filter or a hook that a repository's settings name.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::mirror::Mode;
use crate::cache::error::{ImageError, at, content};
use crate::process::command::CommandError;
use crate::sources::git::git;

/// The largest file of a kernel's sources is some 20 MB.
const LIMIT: u64 = 256 << 20;

/// A repository, open for reading.
pub(super) struct Blobs {
    repository: PathBuf,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Blobs {
    /// # Errors
    /// There is no git.
    pub(super) fn of(repository: &Path) -> Result<Blobs, ImageError> {
        let mut command = git(repository);
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(no_git)?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let (requests, answers) = requests.zip(answers).expect("both are pipes");
        Ok(Blobs { repository: repository.to_owned(), child, requests, answers: BufReader::new(answers) })
    }

    /// The files of a commit: path, mode, and the hash of the content. Submodules are left out.
    ///
    /// # Errors
    /// The repository is damaged, or a path leads out of the tree.
    pub(super) fn list(&self, commit: &str) -> Result<Vec<(PathBuf, Mode, String)>, ImageError> {
        let mut command = git(&self.repository);
        let output = command.args(["ls-tree", "-r", "-z", "--full-tree", commit]).output().map_err(no_git)?;
        if !output.status.success() {
            return Err(self.wrong(format!("git ls-tree: {}", String::from_utf8_lossy(&output.stderr).trim())));
        }
        let mut files = Vec::new();
        for line in output.stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            files.extend(entry(line).map_err(|why| self.wrong(why))?);
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// The content with this hash.
    ///
    /// # Errors
    /// The repository does not have it.
    pub(super) fn read(&mut self, id: &str) -> Result<Vec<u8>, ImageError> {
        let answer = self.ask(id).map_err(at("read a file's content in", &self.repository))?;
        answer.ok_or_else(|| self.wrong(format!("it has no content {id}; is it a partial clone?")))
    }

    fn ask(&mut self, id: &str) -> io::Result<Option<Vec<u8>>> {
        writeln!(self.requests, "{id}")?;
        self.requests.flush()?;
        let mut head = String::new();
        self.answers.read_line(&mut head)?;
        // `HASH blob SIZE`, or `HASH missing`
        let Some((_, size)) = head.trim_end().split_once(" blob ") else { return Ok(None) };
        let size = size.parse().ok().filter(|size| *size <= LIMIT);
        let size = size.ok_or_else(|| io::Error::other(format!("{} is too long", head.trim_end())))?;
        let mut content = Vec::new();
        self.answers.by_ref().take(size).read_to_end(&mut content)?;
        self.answers.read_exact(&mut [0])?;
        Ok((content.len() as u64 == size).then_some(content))
    }

    fn wrong(&self, why: String) -> ImageError {
        content(format!("the repository {}", self.repository.display()), why)
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn no_git(error: io::Error) -> ImageError {
    CommandError::NoProgram { program: "git".into(), package: "git", error }.into()
}

/// `100644 blob HASH<tab>PATH`
fn entry(line: &[u8]) -> Result<Option<(PathBuf, Mode, String)>, String> {
    let wrong = || format!("git ls-tree said {:.200?}", String::from_utf8_lossy(line));
    let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(wrong)?;
    let head = std::str::from_utf8(&line[..tab]).map_err(|_| wrong())?;
    let [mode, _, id] = head.split(' ').collect::<Vec<_>>()[..] else { return Err(wrong()) };
    let mode = match mode {
        "100755" => Mode::Executable,
        "120000" => Mode::Link,
        "160000" => return Ok(None),
        _ => Mode::Plain,
    };
    let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
    // git refuses these too, but a repository can be made by something else.
    if !path.components().all(|part| matches!(part, Component::Normal(_))) || path.starts_with(".git") {
        return Err(format!("{path:?} leads out of the tree"));
    }
    Ok(Some((path, mode, id.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_git_is_a_file() {
        let line = |text: &str| entry(text.as_bytes());
        let file = |path: &str, mode| Ok(Some((PathBuf::from(path), mode, "0f".to_owned())));
        assert_eq!(line("100644 blob 0f\tfs/a b.c"), file("fs/a b.c", Mode::Plain));
        assert_eq!(line("100755 blob 0f\tscripts/x"), file("scripts/x", Mode::Executable));
        assert_eq!(line("120000 blob 0f\tl"), file("l", Mode::Link));
        assert_eq!(line("160000 commit 0f\tmodule"), Ok(None));
        for wrong in ["100644 blob 0f\t../a", "100644 blob 0f\t/etc/a", "100644 blob 0f\t.git/config", "100644 0f", "x"]
        {
            assert!(line(wrong).is_err(), "{wrong}");
        }
    }
}
