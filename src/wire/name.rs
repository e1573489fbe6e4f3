//! The names of control sockets: of which user, listening where, and which process if several
//! listen there.

use std::fmt;

/// What all begin with.
const PREFIX: &str = "loadbalancer";

/// The name of an instance's control socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The user it runs as.
    pub user: u32,
    /// Where clients connect, `address:port`.
    pub listen: String,
    /// Its process, where the name without it is another one's.
    pub process: Option<u32>,
}

/// `loadbalancer/1000/127.0.0.1:8080`, then `/` and the process.
impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX}/{}/{}", self.user, self.place())
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
        let is_address = listen.bytes().all(|byte| byte.is_ascii_graphic())
            && listen.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
        is_address.then(|| Name { user, listen: listen.to_owned(), process })
    }

    /// What people write of it: `127.0.0.1:8080`, then `/` and the process.
    pub fn place(&self) -> String {
        match self.process {
            Some(process) => format!("{}/{process}", self.listen),
            None => self.listen.clone(),
        }
    }

    /// The name as a file name.
    pub fn file(&self) -> String {
        self.place().replace('/', "_")
    }

    /// Reads a file name of this user.
    pub fn from_file(user: u32, file: &str) -> Option<Name> {
        Name::read(&format!("{PREFIX}/{user}/{}", file.replace('_', "/")))
    }

    /// Whether `place` means it: the port, or address and port, as it listens there or on all
    /// addresses; with the process if one is named.
    pub fn is_at(&self, place: &str) -> bool {
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

    fn name(listen: &str, process: Option<u32>) -> Name {
        Name { user: 7, listen: listen.to_owned(), process }
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for (listen, process, expected) in [
            ("127.0.0.1:8080", None, "loadbalancer/7/127.0.0.1:8080"),
            ("[::]:80", Some(12), "loadbalancer/7/[::]:80/12"),
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
