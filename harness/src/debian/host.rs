//! What the host's own apt is set up with, where there is one: its mirror, its proxies, its
//! passwords. It is only read.

use std::path::Path;
use std::process::Command;

use attohttpc::{ProxySettings, ProxySettingsBuilder};

/// The settings that count here.
#[derive(Clone, Debug, Default)]
pub(super) struct HostApt {
    /// The main archive's address.
    pub(super) mirror: Option<String>,
    /// False where the host takes lists whose `Valid-Until` is over (`Acquire::Check-Valid-Until`).
    pub(super) takes_expired: bool,
    /// `Acquire::http::Proxy` and `Acquire::https::Proxy`.
    pub(super) proxy: [Option<String>; 2],
    /// Of auth.conf(5).
    pub(super) logins: Vec<Login>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Login {
    machine: String,
    user: String,
    password: String,
}

impl HostApt {
    /// Asks the host; what it does not have stays at its default.
    pub(super) fn find() -> HostApt {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let sources = said("apt-get", &["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]);
        let settings = said("apt-config", &["dump"]).unwrap_or_default();
        let mut host = HostApt { mirror: sources.as_deref().and_then(choose), ..HostApt::of_settings(&settings) };
        let parts = std::fs::read_dir("/etc/apt/auth.conf.d").into_iter().flatten().flatten();
        let mut files: Vec<_> = parts.map(|entry| entry.path()).filter(|path| path.extension().is_some()).collect();
        files.sort();
        for file in [Path::new("/etc/apt/auth.conf").to_owned()].into_iter().chain(files) {
            host.logins.extend(logins(&std::fs::read_to_string(file).unwrap_or_default()));
        }
        host
    }

    /// What `apt-config dump` prints: `NAME "VALUE";`.
    fn of_settings(settings: &str) -> HostApt {
        let value = |name: &str| {
            let rest = settings.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix(" \""))?;
            rest.strip_suffix("\";").filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let check = value("Acquire::Check-Valid-Until");
        let no = |value: &str| matches!(value, "false" | "0" | "no" | "off" | "without" | "disable");
        HostApt {
            takes_expired: check.is_some_and(|value| no(&value)),
            proxy: [value("Acquire::http::Proxy"), value("Acquire::https::Proxy")],
            ..HostApt::default()
        }
    }

    /// The proxies of apt, else those of the environment (`http_proxy`, `https_proxy`, `no_proxy`).
    pub(super) fn proxies(&self) -> Result<ProxySettings, String> {
        if self.proxy.iter().all(Option::is_none) {
            return Ok(ProxySettings::from_env());
        }
        let [http, https] = self.proxy.each_ref().map(|value| {
            let value = value.as_deref().filter(|value| *value != "DIRECT");
            value.map(|value| value.parse().map_err(|error| format!("`{value}` is no URL: {error}"))).transpose()
        });
        Ok(ProxySettingsBuilder::new().http_proxy(http?).https_proxy(https?).build())
    }

    /// A URL without user and password, and who asks: by the URL itself or by auth.conf(5).
    pub(super) fn login(&self, url: &str) -> (String, Option<(String, String)>) {
        let bare = super::transport::without_password(url);
        let (scheme, rest) = bare.split_once("://").unwrap_or_default();
        if bare != url {
            let (_, named) = url.split_once("://").unwrap_or_default();
            let named = &named[..named.len() - rest.len() - 1];
            let (user, password) = named.split_once(':').unwrap_or((named, ""));
            return (bare.clone(), Some((user.to_owned(), password.to_owned())));
        }
        // Without a scheme an entry is for encrypted connections only.
        let fits = |login: &&Login| {
            let (of, machine) = login.machine.split_once("://").unwrap_or(("https", &login.machine));
            let behind = rest.strip_prefix(machine.trim_end_matches('/'));
            of == scheme && behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
        };
        let login = self.logins.iter().find(fits).map(|login| (login.user.clone(), login.password.clone()));
        (bare, login)
    }
}

/// `machine NAME login USER password WORD`, in any layout.
fn logins(text: &str) -> Vec<Login> {
    let mut all: Vec<Login> = Vec::new();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        match (key, all.last_mut()) {
            ("machine", _) => all.push(Login { machine: value.to_owned(), ..Login::default() }),
            ("login", Some(last)) => value.clone_into(&mut last.user),
            ("password", Some(last)) => value.clone_into(&mut last.password),
            _ => {}
        }
    }
    all
}

/// The main archive's address: by what its Release file says, or, where none was fetched yet, by
/// its path.
fn choose(listing: &str) -> Option<String> {
    let sources = || listing.lines().filter_map(|line| line.split_once('|').zip(line.rsplit_once('|')));
    let usable = |uri: &str| ["http://", "https://", "file:", "copy:"].iter().any(|start| uri.starts_with(start));
    let sure = sources()
        .find(|((origin, _), (before, uri))| *origin == "Debian" && before.ends_with("|Debian") && usable(uri));
    let likely = || {
        sources().find(|((origin, _), (_, uri))| {
            !matches!(*origin, "Ubuntu" | "Debian") && uri.trim_end_matches('/').ends_with("/debian") && usable(uri)
        })
    };
    sure.or_else(likely).map(|(_, (_, uri))| uri.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_archive_is_chosen() {
        let listing = "Debian|Debian-Security|http://security.example/debian-security/\n\
                       Debian|Debian|http://mirror.example/debian/\n";
        assert_eq!(choose(listing).as_deref(), Some("http://mirror.example/debian"));
        let not_updated = "$(ORIGIN)|$(LABEL)|http://s.example/debian-security/\n||https://m.example/debian/\n";
        assert_eq!(choose(not_updated).as_deref(), Some("https://m.example/debian"));
        assert_eq!(choose("Ubuntu|Ubuntu|http://mirror.example/ubuntu/\n"), None);
        assert_eq!(choose("Debian|Debian|cdrom:[x]/\n"), None);
        assert_eq!(choose(""), None);
    }

    #[test]
    fn settings_of_apt_are_read() {
        let host = HostApt::of_settings(
            "Acquire \"\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://p.example:3128\";\n\
             Acquire::Check-Valid-Until \"false\";\n",
        );
        assert!(host.takes_expired);
        let url = |text: &str| text.parse().unwrap();
        let proxies = host.proxies().unwrap();
        assert_eq!(proxies.for_url(&url("http://m.example/")).unwrap().as_str(), "http://p.example:3128/");
        assert_eq!(proxies.for_url(&url("https://m.example/")), None);
        assert!(!HostApt::of_settings("Acquire::Check-Valid-Until \"true\";\n").takes_expired);
        let wrong = HostApt::of_settings("Acquire::http::Proxy \"http://[\";\n").proxies().unwrap_err();
        assert!(wrong.starts_with("`http://[` is no URL: "), "{wrong}");
    }

    #[test]
    fn passwords_go_where_they_belong() {
        let logins = logins(
            "# no\nmachine m.example/debian login u\n password p\nmachine http://n.example login v password q\n",
        );
        let host = HostApt { logins, ..HostApt::default() };
        let login = |url| host.login(url).1.map(|(user, password)| format!("{user}:{password}"));
        assert_eq!(login("https://m.example/debian/dists").as_deref(), Some("u:p"));
        assert_eq!(login("http://m.example/debian/dists"), None);
        assert_eq!(login("https://m.example/debian-security"), None);
        assert_eq!(login("http://n.example/x").as_deref(), Some("v:q"));
        assert_eq!(login("http://n.example.evil/x"), None);
        assert_eq!(host.login("http://a:b@h.example/x"), ("http://h.example/x".into(), Some(("a".into(), "b".into()))));
    }
}
