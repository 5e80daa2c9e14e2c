//! A mirror behind a server.

use std::fs;
use std::path::Path;

use super::{Mirror, fetch};
use crate::debian::archive::Archive;
use crate::debian::host::HostApt;

/// Answers one request after the other with what `answer` makes of its head, until that is nothing.
pub(super) fn serve(
    answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static,
) -> (String, std::thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                std::io::Read::read_exact(&mut connection, &mut byte).unwrap();
                head.push(byte[0]);
            }
            let Some(bytes) = answer(std::str::from_utf8(&head).unwrap()) else { return };
            std::io::Write::write_all(&mut connection, &bytes).unwrap();
        }
    });
    (address, thread)
}

/// A file of a mirror's directory as an answer; `None` to the path `/end`.
pub(super) fn of_directory(directory: &Path, head: &str) -> Option<Vec<u8>> {
    let target = head.split(' ').nth(1).unwrap();
    let path = target.strip_prefix("http://m.example").unwrap_or(target);
    if path == "/end" {
        return None;
    }
    Some(match fs::read(directory.join(path.trim_start_matches("/debian/").trim_start_matches('/'))) {
        Ok(bytes) => {
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).into_bytes(), bytes].concat()
        }
        Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    })
}

pub(super) fn end(address: &str, thread: std::thread::JoinHandle<()>) {
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut connection, b"GET /end HTTP/1.1\r\n\r\n").unwrap();
    thread.join().unwrap();
}

#[test]
fn a_mirror_answers_over_http_with_a_password_or_through_a_proxy() {
    let mirror = Mirror::new(&[("a", "Depends: b", &[]), ("b", "", &[])]);
    fs::remove_file(mirror.directory.path().join("pool/b_1_amd64.deb")).unwrap();
    let directory = mirror.directory.path().to_owned();
    let (address, thread) = serve(move |head| {
        let allowed = head.contains("uthorization: Basic dTpw\r\n") || head.contains(" /end ");
        if allowed {
            of_directory(&directory, head)
        } else {
            Some(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_vec())
        }
    });
    let archive = |url: &str| Archive::of(HostApt::default(), Some(url), Some(&mirror.keyring())).unwrap();
    assert!(fetch(archive(&format!("http://u:p@{address}/debian")), &["b"]).unwrap_err().to_string().ends_with(
        "/debian/pool/b_1_amd64.deb: the mirror does not have it; name another with --mirror URL or ZDTM_DETACHED_MIRROR"
    ));
    let error = fetch(archive(&format!("http://u:wrong@{address}/debian")), &["b"]).unwrap_err().to_string();
    assert!(error.contains("/dists/s/InRelease: the answer is status 401; ") && !error.contains("wrong"), "{error}");
    end(&address, thread);
    let error = fetch(archive(&format!("http://{address}/debian")), &["b"]).unwrap_err().to_string();
    assert!(error.contains("check the network, or name a mirror with --mirror"), "{error}");

    let mirror = Mirror::new(&[("a", "", &[])]);
    let directory = mirror.directory.path().to_owned();
    let (address, thread) = serve(move |head| {
        assert!(head.starts_with("GET http://m.example/debian/") || head.contains(" /end "), "{head}");
        of_directory(&directory, head)
    });
    let host = HostApt { proxy: [Some(format!("http://{address}")), None], ..HostApt::default() };
    let archive = Archive::of(host, Some("http://m.example/debian"), Some(&mirror.keyring())).unwrap();
    assert_eq!(fetch(archive, &["a"]).unwrap().1.packages.len(), 1);
    end(&address, thread);
}
