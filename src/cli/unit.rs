//! A systemd unit for a command line: `loadbalancer --print-unit`. The directives are those of
//! systemd.exec(5) and systemd.service(5) in systemd 252.

use crate::base::address::UnixName;
use crate::config::{AdminAddress, Config, LogTarget, Purpose, quote};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// What a stop may take beyond the lame duck and the drain, for half-sent requests and the logs.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Open files without `-N`; with it, two for each pair, and as many again for clients that wait.
const FILES: u64 = 65_536;
const FILES_PER_PAIR: u64 = 4;

/// First port that needs no capability.
const PORT_UNPRIVILEGED: u16 = 1024;

/// Directories that systemd makes for the user of a service, by the path above them.
const MADE_BELOW: [(&str, &str); 5] = [
    ("/run", "RuntimeDirectory"),
    ("/var/run", "RuntimeDirectory"),
    ("/var/log", "LogsDirectory"),
    ("/var/lib", "StateDirectory"),
    ("/var/cache", "CacheDirectory"),
];

/// Where only root creates files.
const OF_ROOT: [&str; 2] = ["/run", "/var/run"];

/// Directories that a service has for itself alone: what others put there it does not see.
const PRIVATE: [&str; 2] = ["/tmp", "/var/tmp"];

/// Directories that `ProtectHome` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// A unit that runs a command line.
#[derive(Clone, Debug)]
pub struct Unit {
    config: Config,
    /// The command line without the program.
    words: Vec<String>,
}

impl Unit {
    /// Checks that a service can run it; the error says what is in the way, with a hint.
    pub fn new(config: Config, words: Vec<String>) -> Result<Unit, String> {
        if let Purpose::Check(_) = config.purpose {
            return Err("--check does not serve: leave it out".to_owned());
        }
        if config.user.is_some() {
            return Err(
                "--user is for a start as root, and the unit has a user of its own: leave \
                        it out, or write User= into the unit"
                    .to_owned(),
            );
        }
        if config.record.is_some() {
            return Err(
                "--record needs a new file at each start, and a service is started again: \
                        leave it out"
                    .to_owned(),
            );
        }
        for path in paths(&config) {
            check_path(path)?;
        }
        if let Some(path) = socket_file(&config)
            && !is_passed(path)
            && config.socket_mode.is_none()
        {
            return Err(format!(
                "{} could be used by nobody, as the unit's UMask= leaves it to its own user: add \
                 --socket-mode 666, or 660 and a Group= in the unit",
                config.listen
            ));
        }
        Ok(Unit { config, words })
    }

    /// The unit file, for this program.
    pub fn text(&self, program: &Path) -> String {
        let Unit { config, words } = self;
        let command: Vec<String> = std::iter::once(argument(&program.display().to_string()))
            .chain(words.iter().map(|word| argument(word)))
            .collect();
        let hides_homes = !std::iter::once(program)
            .chain(paths(config))
            .any(|path| HOMES.iter().any(|home| path.starts_with(home)));
        let stop = config.timeouts.lame_duck + config.timeouts.drain + STOP_MARGIN;
        let stop = stop.as_secs() + u64::from(stop.subsec_nanos() > 0);
        let pairs = config.pairs_max.map_or(0, u64::from);
        [
            "[Unit]".to_owned(),
            format!("Description=Load balancer on {}", percent(&config.listen.to_string())),
            "Wants=network-online.target".to_owned(),
            "After=network-online.target".to_owned(),
            "\n[Service]\nType=notify".to_owned(),
        ]
        .into_iter()
        .chain(install_note(program).map(str::to_owned))
        .chain(socket_note(config))
        .chain([
            format!("ExecStart={}", command.join(" ")),
            "ExecReload=kill -HUP $MAINPID".to_owned(),
            "Restart=on-failure".to_owned(),
            "# A wrong command line stays wrong.".to_owned(),
            "RestartPreventExitStatus=2".to_owned(),
            "WatchdogSec=10".to_owned(),
            "# --lame-duck and --drain-timeout, and a margin.".to_owned(),
            format!("TimeoutStopSec={stop}"),
            format!("LimitNOFILE={}", FILES.max(pairs * FILES_PER_PAIR)),
            "\nDynamicUser=yes".to_owned(),
        ])
        .chain(directories(config))
        .chain([capabilities(config), HARDENING.to_owned()])
        .chain([
            format!("ProtectHome={}", if hides_homes { "yes" } else { "read-only" }),
            "\n[Install]\nWantedBy=multi-user.target\n".to_owned(),
        ])
        .collect::<Vec<_>>()
        .join("\n")
    }
}

/// For a program where the user of a service cannot start it, as `cargo install` puts it there: home
/// directories are mostly closed to others, and a service has a `/tmp` of its own.
fn install_note(program: &Path) -> Option<&'static str> {
    let is_closed = HOMES.iter().chain(&PRIVATE).any(|above| program.starts_with(above));
    is_closed.then_some(
        "# The user of the service may not reach this directory: install the program, for example in\n\
         # /usr/local/bin, and print the unit with that one.",
    )
}

/// For a socket where a service creates no file.
fn socket_note(config: &Config) -> Option<String> {
    let path = socket_file(config).filter(|path| is_passed(path))?.display();
    Some(format!(
        "# Only root creates files there: a socket unit must open it, with\n# ListenStream={path}."
    ))
}

/// The file of the socket for clients.
fn socket_file(config: &Config) -> Option<&Path> {
    match config.listen.unix_name()? {
        UnixName::Path(path) => Some(Path::new(path)),
        UnixName::Abstract(_) => None,
    }
}

/// Whether a service manager must have made this socket.
fn is_passed(path: &Path) -> bool {
    path.parent().is_some_and(|above| OF_ROOT.iter().any(|root| above == Path::new(root)))
}

/// What the program does not need. It reads `/proc/self`; names are looked up over sockets, and
/// with AF_NETLINK the resolver knows which addresses can be reached.
const HARDENING: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0027";

/// The one for ports below 1024, where one is used; otherwise none at all.
fn capabilities(config: &Config) -> String {
    let admin = config.admin.as_ref().map(AdminAddress::at);
    let others = admin.into_iter().chain(&config.redirect_http).map(|at| at.port);
    let mut ports = config.listen.port().into_iter().chain(others);
    match ports.any(|port| port != 0 && port < PORT_UNPRIVILEGED) {
        true => "AmbientCapabilities=CAP_NET_BIND_SERVICE\n\
                 CapabilityBoundingSet=CAP_NET_BIND_SERVICE"
            .to_owned(),
        false => "CapabilityBoundingSet=".to_owned(),
    }
}

/// What makes the directories of the access log and of the socket for clients writable.
fn directories(config: &Config) -> Vec<String> {
    let log = log_file(config).filter(|path| !path.starts_with("/dev"));
    let socket = socket_file(config).filter(|path| !is_passed(path));
    let (mut lines, mut others) = (Vec::new(), Vec::new());
    for directory in log.into_iter().chain(socket).filter_map(Path::parent) {
        let (to, line) = match made(directory) {
            Some(line) => (&mut lines, line),
            None => (&mut others, word(&directory.display().to_string())),
        };
        if !to.contains(&line) {
            to.push(line);
        }
    }
    if !others.is_empty() {
        lines.push(format!(
            "# A directory that systemd does not make: the user must exist and own it, as a dynamic\n\
             # one is another one after each start. Below /var/log and /run it is made.\n\
             User=loadbalancer\n\
             ReadWritePaths={}",
            others.join(" ")
        ));
    }
    lines
}

/// The line by which systemd makes this directory, if it can.
fn made(directory: &Path) -> Option<String> {
    MADE_BELOW.iter().find_map(|(above, directive)| {
        let below = directory.strip_prefix(above).ok()?;
        let is_below = below != Path::new("");
        is_below.then(|| format!("{directive}={}", word(&below.display().to_string())))
    })
}

fn log_file(config: &Config) -> Option<&Path> {
    match config.access_log.as_ref()? {
        LogTarget::File(path) => Some(path),
        LogTarget::Stdout => None,
    }
}

/// Every file that the configuration names.
fn paths(config: &Config) -> impl Iterator<Item = &Path> {
    let pages = config.error_pages.iter().map(|(_, path)| path);
    let certificates = config.certificates.iter();
    let certificates = certificates.flat_map(|it| std::iter::once(&it.chain).chain(&it.key));
    let others = config.list_file.iter().chain(&config.client_ca).chain(&config.sticky_key_file);
    let read = others.chain(pages).chain(certificates).map(PathBuf::as_path);
    read.chain(log_file(config)).chain(socket_file(config))
}

fn check_path(path: &Path) -> Result<(), String> {
    let shown = quote(&path.display().to_string());
    if !path.is_absolute() {
        return Err(format!(
            "{shown} is relative, and a service starts in /: write the whole path"
        ));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("{shown} has .. in it: write the path without"));
    }
    match PRIVATE.iter().find(|private| path.starts_with(private)) {
        Some(private) => Err(format!(
            "{shown} is below {private}, which a service has for itself: name another file, as \
             below /etc or /var/log"
        )),
        None => Ok(()),
    }
}

/// `%` begins a specifier in every setting.
fn percent(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word of a setting that is a list.
fn word(text: &str) -> String {
    let is_plain =
        |char: char| !char.is_whitespace() && !char.is_control() && !"\"'\\;".contains(char);
    let text = percent(text);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// One argument of a command line, where `$` begins a variable.
fn argument(text: &str) -> String {
    word(text).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_a_home_directory_is_noted() {
        for (program, is_noted) in [
            ("/usr/bin/loadbalancer", false),
            ("/opt/lb/loadbalancer", false),
            ("/rooted/loadbalancer", false),
            ("/root/.cargo/bin/loadbalancer", true),
            ("/home/me/.cargo/bin/loadbalancer", true),
            ("/tmp/loadbalancer", true),
        ] {
            assert_eq!(install_note(Path::new(program)).is_some(), is_noted, "{program}");
        }
    }

    #[test]
    fn arguments_are_quoted_for_systemd() {
        let table = [
            ("8080", "8080"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("[fe80::1%eth0]:80", "[fe80::1%%eth0]:80"),
            ("/a$b", "/a$$b"),
            ("it's", "\"it's\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\tb\n", "\"a\\x09b\\x0a\""),
            (";", "\";\""),
            ("é", "é"),
        ];
        for (text, expected) in table {
            assert_eq!(argument(text), expected, "{text:?}");
        }
        assert_eq!(word("/a$b%c"), "/a$b%%c");
    }
}
