//! A dump or a restore by criu's service, which asks its caller while the processes are frozen.
//!
//! `criu swrk FD` takes a request from a socket of whole messages (Protocol Buffers,
//! images/rpc.proto). It tells the caller of moments and waits for the answer each time
//! (`send_criu_rpc_script` in criu/cr-service.c). At one of them, `query-ext-files`, the answer
//! says what else is taken from outside.
//!
//! Arguments of the command line travel in a configuration file, which a request can name
//! (`super::configuration`).

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use prost::Message;

use super::configuration::Configuration;
use crate::sys;

/// The moment at which criu asks: all processes are frozen, and nothing has been dumped.
const QUESTION: &str = "query-ext-files";
/// The number of criu's end of the socket.
const NUMBER: i32 = 709;
/// A longer message does not come from criu, in bytes.
const MESSAGE_LIMIT: usize = 64 << 10;
/// Kinds of messages (`criu_req_type`).
const DUMP: i32 = 1;
const RESTORE: i32 = 2;
const NOTIFY: i32 = 6;

/// `criu_req`
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(message, optional, tag = "2")]
    options: Option<Options>,
    #[prost(bool, optional, tag = "3")]
    notify_success: Option<bool>,
}

/// `criu_opts`
#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(int32, required, tag = "1")]
    images_dir_fd: i32,
    #[prost(int32, optional, tag = "2")]
    pid: Option<i32>,
    #[prost(int32, optional, tag = "9")]
    log_level: Option<i32>,
    #[prost(bool, optional, tag = "12")]
    notify_scripts: Option<bool>,
    #[prost(message, repeated, tag = "27")]
    inherit_fd: Vec<InheritFd>,
    #[prost(bytes = "vec", repeated, tag = "37")]
    external: Vec<Vec<u8>>,
    #[prost(string, optional, tag = "51")]
    config_file: Option<String>,
}

/// `inherit_fd`
#[derive(Clone, PartialEq, Message)]
struct InheritFd {
    #[prost(bytes = "vec", required, tag = "1")]
    key: Vec<u8>,
    #[prost(int32, required, tag = "2")]
    fd: i32,
}

/// `criu_resp`
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(bool, required, tag = "2")]
    success: bool,
    #[prost(message, optional, tag = "5")]
    notify: Option<Notify>,
    /// Its first error. A path in it need not be UTF-8.
    #[prost(bytes = "vec", optional, tag = "9")]
    message: Option<Vec<u8>>,
}

/// `criu_notify`
#[derive(Clone, PartialEq, Message)]
struct Notify {
    #[prost(string, optional, tag = "1")]
    script: Option<String>,
}

/// What is given to the service when it asks: what it takes from outside, as `--external` names
/// it; or none, and the dump ends there.
pub type Asked<'a> = dyn FnMut() -> Option<Vec<OsString>> + 'a;

/// How a dump ended, as the service says it.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Done,
    /// It failed; the first error.
    Failed(Option<String>),
    /// The service is gone and has said nothing.
    Gone,
}

/// The caller's end of the socket, with the request in it.
pub struct Service {
    socket: OwnedFd,
    /// Until it has been started.
    theirs: Option<OwnedFd>,
    /// Both are opened by the service, from `/proc` (`setup_opts_from_req` in criu/cr-service.c).
    _open: [OwnedFd; 2],
}

impl Service {
    /// Prepares a dump of the process `pid` into `images`. The arguments are criu's; what is known
    /// to be taken `from_outside` is as behind `--external`.
    ///
    /// # Errors
    /// Those of the system calls; `InvalidInput` for an argument that the service does not take.
    pub fn dump(pid: i32, images: &Path, arguments: &[OsString], from_outside: Vec<OsString>) -> io::Result<Self> {
        let options = Options { pid: Some(pid), external: bytes(from_outside), ..Options::default() };
        Self::new(DUMP, images, arguments, options)
    }

    /// Prepares a restore. The process inherits the descriptors of these numbers, which criu must
    /// be started with, for what is known by their keys.
    ///
    /// # Errors
    /// As [`Service::dump`].
    pub fn restore(
        images: &Path,
        arguments: &[OsString],
        from_outside: Vec<OsString>,
        inherited: impl Iterator<Item = (String, i32)>,
    ) -> io::Result<Self> {
        let inherit_fd = inherited.map(|(key, fd)| InheritFd { key: key.into_bytes(), fd }).collect();
        let options = Options { inherit_fd, external: bytes(from_outside), ..Options::default() };
        Self::new(RESTORE, images, arguments, options)
    }

    fn new(kind: i32, images: &Path, arguments: &[OsString], options: Options) -> io::Result<Self> {
        let configuration = Configuration::of(arguments)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, format!("criu's arguments: {why}")))?;
        let mut file = std::fs::File::from(memfd_create(c"criu.conf", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&configuration.text)?;
        let images = OwnedFd::from(std::fs::File::open(images)?);
        let (socket, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let options = Options {
            images_dir_fd: images.as_raw_fd(),
            log_level: Some(configuration.log_level),
            notify_scripts: Some(true),
            config_file: Some(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())),
            ..options
        };
        let service = Service { socket, theirs: Some(theirs), _open: [file.into(), images] };
        service.say(&Request { kind, options: Some(options), notify_success: None })?;
        Ok(service)
    }

    /// Starts `criu` as the service.
    ///
    /// # Errors
    /// Those of starting it.
    pub fn start(&mut self, criu: &mut Command) -> io::Result<Child> {
        criu.args(["swrk", &NUMBER.to_string()]);
        sys::inherit(criu, &self.theirs.iter().map(|theirs| (theirs, NUMBER)).collect::<Vec<_>>());
        let child = criu.spawn();
        // So its end is noticed.
        self.theirs = None;
        child
    }

    /// Takes one message and answers it; how the dump ended, if that is what it says. The service
    /// must have been started.
    ///
    /// # Errors
    /// Those of the socket; `InvalidData` for what criu does not say.
    pub fn hear(&self, asked: &mut Asked<'_>) -> io::Result<Option<End>> {
        let mut buffer = vec![0; MESSAGE_LIMIT];
        let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if length == 0 {
            return Ok(Some(End::Gone));
        }
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, format!("a message of criu: {error}"));
        let response = Response::decode(&buffer[..length]).map_err(invalid)?;
        if response.kind != NOTIFY {
            let message = response.message.map(|message| String::from_utf8_lossy(&message).trim_end().to_owned());
            return Ok(Some(if response.success { End::Done } else { End::Failed(message) }));
        }
        let moment = response.notify.and_then(|notify| notify.script);
        let externals = if moment.as_deref() == Some(QUESTION) { asked() } else { Some(Vec::new()) };
        self.say(&Request {
            kind: NOTIFY,
            notify_success: Some(externals.is_some()),
            options: externals.map(|externals| Options {
                images_dir_fd: -1,
                external: bytes(externals),
                ..Options::default()
            }),
        })?;
        Ok(None)
    }

    fn say(&self, request: &Request) -> io::Result<()> {
        send(self.socket.as_raw_fd(), &request.encode_to_vec(), MsgFlags::MSG_NOSIGNAL)?;
        Ok(())
    }
}

fn bytes(texts: Vec<OsString>) -> Vec<Vec<u8>> {
    texts.into_iter().map(OsString::into_encoded_bytes).collect()
}

impl AsFd for Service {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a service hears that gets these bytes, and what it answers.
    fn heard(bytes: &[u8], externals: Option<Vec<OsString>>) -> (io::Result<Option<End>>, Vec<Request>) {
        let service = Service::dump(7, Path::new("/"), &[], Vec::new()).unwrap();
        let theirs = service.theirs.as_ref().unwrap().as_raw_fd();
        send(theirs, bytes, MsgFlags::empty()).unwrap();
        let end = service.hear(&mut || externals.clone());
        let mut requests = Vec::new();
        let mut buffer = vec![0; MESSAGE_LIMIT];
        while let Ok(length) = recv(theirs, &mut buffer, MsgFlags::MSG_DONTWAIT) {
            requests.push(Request::decode(&buffer[..length]).unwrap());
        }
        (end, requests)
    }

    fn notify(script: &str) -> Vec<u8> {
        let notify = Some(Notify { script: Some(script.to_owned()) });
        Response { kind: NOTIFY, success: true, notify, message: None }.encode_to_vec()
    }

    #[test]
    fn only_the_question_for_files_is_answered_with_files() {
        let (end, requests) = heard(&notify(QUESTION), Some(vec!["file[1:2]".into()]));
        assert_eq!(end.unwrap(), None);
        assert_eq!((requests[0].kind, requests[0].options.as_ref().unwrap().pid), (DUMP, Some(7)));
        assert_eq!(requests[1].notify_success, Some(true));
        assert_eq!(requests[1].options.as_ref().unwrap().external, [b"file[1:2]".to_vec()]);
        let (_, requests) = heard(&notify("post-dump"), None);
        assert_eq!(requests[1].notify_success, Some(true));
        let (_, requests) = heard(&notify(QUESTION), None);
        assert_eq!((requests[1].notify_success, &requests[1].options), (Some(false), &None));
    }

    #[test]
    fn an_end_with_a_path_that_is_not_text_is_an_end() {
        let failed = Response { kind: DUMP, success: false, notify: None, message: Some(b"a\xff\n".to_vec()) };
        assert_eq!(heard(&failed.encode_to_vec(), None).0.unwrap(), Some(End::Failed(Some("a\u{fffd}".into()))));
        assert_eq!(heard(b"\xff", None).0.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
