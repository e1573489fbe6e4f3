//! The names of control sockets: of which user, listening where, and which process if several
//! listen there.

use crate::base::address::{Address, UNIX};
use crate::base::siphash::siphash;
use std::fmt;

/// What all begin with.
const PREFIX: &str = "loadbalancer";

/// Longest [`Name::listen`]: `sun_path` (unix(7)) has room for it with the longest numbers.
const LISTEN_BYTES_MAX: usize = 72;

/// The name of an instance's control socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The user it runs as.
    pub user: u32,
    /// Where clients connect, as [`listen_of`] writes it.
    pub listen: String,
    /// Its process, where the name without it is another one's.
    pub process: Option<u32>,
}

/// `loadbalancer/1000/127.0.0.1:8080`, then `/` and the process.
impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX}/{}/{}", self.user, self.with_process(&self.listen))
    }
}

impl Name {
    /// Reads what is displayed.
    pub fn read(text: &str) -> Option<Name> {
        let (user, place) = text.strip_prefix(PREFIX)?.strip_prefix('/')?.split_once('/')?;
        let user = user.parse().ok()?;
        let (listen, process) = match place.split_once('/') {
            Some((listen, process)) => (listen, Some(process.parse().ok()?)),
            None => (place, None),
        };
        let is_address = listen.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
        let is_socket = listen.starts_with(UNIX) && listen.len() > UNIX.len();
        let is_text = listen.bytes().all(|byte| byte.is_ascii_graphic());
        (is_text && (is_address || is_socket)).then(|| Name {
            user,
            listen: listen.to_owned(),
            process,
        })
    }

    /// What people write of it: `127.0.0.1:8080` or `unix:/run/lb.sock`, then `/` and the process.
    pub fn place(&self) -> String {
        self.with_process(&shown(&self.listen))
    }

    fn with_process(&self, listen: &str) -> String {
        match self.process {
            Some(process) => format!("{listen}/{process}"),
            None => listen.to_owned(),
        }
    }

    /// The name as a file name.
    pub fn file(&self) -> String {
        self.with_process(&self.listen).replace('/', "_")
    }

    /// Reads a file name of this user.
    pub fn from_file(user: u32, file: &str) -> Option<Name> {
        Name::read(&format!("{PREFIX}/{user}/{}", file.replace('_', "/")))
    }

    /// Whether `place` means it: the port, or address and port, as it listens there or on all
    /// addresses; with the process if one is named.
    pub fn is_at(&self, place: &str) -> bool {
        if place.starts_with(UNIX) {
            return self.is_at_socket(place);
        }
        let (place, process) = match place.split_once('/') {
            Some((place, process)) => (place, Some(process)),
            None => (place, None),
        };
        let is_process =
            process.is_none_or(|it| it.parse().is_ok_and(|it| self.process == Some(it)));
        let (host, port) = place.rsplit_once(':').unwrap_or(("", place));
        let (own_host, own_port) = self.listen.rsplit_once(':').unwrap_or(("", &self.listen));
        let is_host = host.is_empty() || host == own_host || is_all(own_host);
        is_process && port == own_port && is_host
    }

    /// The same of a unix socket, as it is written or as it is shown.
    fn is_at_socket(&self, place: &str) -> bool {
        let is_own = |socket: &str| encoded(socket) == self.listen || socket == self.listen;
        let process = self.process.map(|process| format!("/{process}"));
        let socket = process.and_then(|process| place.strip_suffix(&process));
        is_own(place) || socket.is_some_and(is_own)
    }
}

/// `address` in a name: `127.0.0.1:8080`, or `unix:,run,lb.sock`, as `/` is before the process and
/// `_` stands for that in the names of files. What is too long has a hash in place of its end.
pub fn listen_of(address: &Address) -> String {
    match address {
        Address::Ip(address) => address.to_string(),
        Address::Unix(name) => encoded(&name.to_string()),
    }
}

fn encoded(socket: &str) -> String {
    let mut text = String::new();
    for byte in socket.bytes() {
        match byte {
            b'/' => text.push(','),
            b',' | b'%' | b'_' | b'~' => text.push_str(&format!("%{byte:02x}")),
            byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02x}")),
        }
    }
    if text.len() > LISTEN_BYTES_MAX {
        let hash = format!("~{:016x}", siphash(&[0; 16], socket.as_bytes()));
        text.truncate(LISTEN_BYTES_MAX - hash.len());
        text.push_str(&hash);
    }
    text
}

/// What [`listen_of`] wrote, for people; a name that was too long, or would change what a terminal
/// shows, as it is.
fn shown(listen: &str) -> String {
    let is_whole = listen.starts_with(UNIX) && !listen.contains('~');
    let decoded = is_whole.then(|| decoded(listen)).flatten();
    decoded.filter(|text| !text.contains(char::is_control)).unwrap_or_else(|| listen.to_owned())
}

fn decoded(listen: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), listen.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b',' => b'/',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether an address stands for all of a machine.
fn is_all(host: &str) -> bool {
    matches!(host, "[::]" | "0.0.0.0")
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// The names in `/proc/net/unix` (proc_pid_net(5)) that sockets listen under. Each is a socket of
/// the abstract namespace, whose names begin with `@` there.
pub fn listed(table: &str) -> Vec<Name> {
    /// `__SO_ACCEPTCON`: accepted connections have the name of their listener.
    const LISTENS: &str = "00010000";
    let listening = table.lines().filter_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let flags = columns.nth(3)?;
        Name::read(columns.nth(3)?.strip_prefix('@')?).filter(|_| flags == LISTENS)
    });
    let mut names: Vec<Name> = listening.collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::address::UnixName;

    fn name(listen: &str, process: Option<u32>) -> Name {
        Name { user: 7, listen: listen.to_owned(), process }
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for (listen, process, expected) in [
            ("127.0.0.1:8080", None, "loadbalancer/7/127.0.0.1:8080"),
            ("[::]:80", Some(12), "loadbalancer/7/[::]:80/12"),
            ("unix:,run,lb.sock", None, "loadbalancer/7/unix:,run,lb.sock"),
            ("unix:@lb", Some(12), "loadbalancer/7/unix:@lb/12"),
        ] {
            let name = name(listen, process);
            assert_eq!(name.to_string(), expected);
            assert_eq!(Name::read(expected), Some(name.clone()));
            assert_eq!(Name::from_file(7, &name.file()), Some(name));
        }
        for other in [
            "",
            "loadbalancer",
            "loadbalancer/x/1.2.3.4:80",
            "loadbalancer/7/80",
            "loadbalancer/7/unix:",
            "loadbalancer/7/unix:,a\x07",
            "loadbalancer/7/unix:/run/lb.sock",
            "loadbalancer/7/a:80/x",
            "loadbalancer/7/\x1b[2Ja:80",
            "loadbalancers/7/a:80",
            "/run/loadbalancer/7/a:80",
        ] {
            assert_eq!(Name::read(other), None, "{other}");
        }
    }

    #[test]
    fn an_instance_is_meant_by_its_port_or_its_address() {
        let (one, all) = (name("127.0.0.1:80", None), name("[::]:80", Some(12)));
        for (place, is_one, is_all) in [
            ("80", true, true),
            ("81", false, false),
            ("127.0.0.1:80", true, true),
            ("127.0.0.2:80", false, true),
            ("[::]:80", false, true),
            ("80/12", false, true),
            ("80/13", false, false),
            ("[::]:80/12", false, true),
            ("80/x", false, false),
        ] {
            assert_eq!((one.is_at(place), all.is_at(place)), (is_one, is_all), "{place}");
        }
    }

    fn socket(text: &str) -> Name {
        let address = UnixName::parse(text).expect("a unix socket").into();
        name(&listen_of(&address), None)
    }

    #[test]
    fn unix_sockets_are_shown_as_they_are_written() {
        for (text, listen) in [
            ("unix:/run/lb.sock", "unix:,run,lb.sock"),
            ("unix:/run/my_lb,1~%41.sock", "unix:,run,my%5flb%2c1%7e%2541.sock"),
            ("unix:/run/a b", "unix:,run,a%20b"),
            ("unix:/run/ä", "unix:,run,%c3%a4"),
            ("unix:@lb/1", "unix:@lb,1"),
        ] {
            let name = socket(text);
            assert_eq!((name.listen.as_str(), name.place().as_str()), (listen, text));
            assert_eq!(Name::read(&name.to_string()), Some(name.clone()));
            let ending = Name { process: Some(12), ..name.clone() };
            assert_eq!(Name::from_file(7, &ending.file()), Some(ending.clone()));
            for (place, is_one, is_ending) in [
                (text.to_owned(), true, true),
                (format!("{text}/12"), false, true),
                (format!("{text}/13"), false, false),
                ("unix:/run/other".to_owned(), false, false),
                ("80".to_owned(), false, false),
            ] {
                let found = (name.is_at(&place), ending.is_at(&place));
                assert_eq!(found, (is_one, is_ending), "{text} at {place}");
            }
        }
        let steers = "unix:,run,%1b[2J".to_owned();
        assert_eq!(name(&steers, None).place(), steers, "it would clear the terminal");
    }

    #[test]
    fn a_long_path_has_a_name_of_its_own_that_fits() {
        let [one, other] = ["a", "b"].map(|end| format!("unix:/{}{end}", "x".repeat(105)));
        let name = socket(&one);
        assert_eq!(name.listen.len(), LISTEN_BYTES_MAX);
        assert!(name.is_at(&one) && name.is_at(&name.place()) && !name.is_at(&other));
        let longest = Name { user: u32::MAX, process: Some(u32::MAX), ..name };
        assert!(longest.to_string().len() < 108, "sun_path");
        let longest = format!("unix:/{}", "x".repeat(LISTEN_BYTES_MAX - 6));
        assert_eq!(socket(&longest).place(), longest, "this one is not cut");
    }

    #[test]
    fn listening_sockets_are_found_in_the_kernels_table() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 21716 /run/systemd/notify\n\
            0000: 00000002 00000000 00010000 0001 01 21717 @loadbalancer/0/127.0.0.1:8080\n\
            0000: 00000003 00000000 00000000 0001 03 21718 @loadbalancer/0/127.0.0.1:8081\n\
            0000: 00000002 00000000 00010000 0001 01 21719 @loadbalancer/7/[::]:80/12\n\
            0000: 00000003 00000000 00000000 0001 03 21720\n\
            half a li";
        assert_eq!(
            listed(table).iter().map(Name::to_string).collect::<Vec<_>>(),
            ["loadbalancer/0/127.0.0.1:8080", "loadbalancer/7/[::]:80/12"]
        );
    }
}
