//! What a balancer says of itself in `/status?text`, read as values. A name that is not there is a
//! value that is not known, so that older and newer balancers can be shown too.

use crate::get::is_printable;
use std::collections::HashMap;

/// The first word of the text.
const MAGIC: &str = "loadbalancer ";

/// One state of one balancer. No text in it has characters that control a terminal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    values: HashMap<String, String>,
    /// Responses made by the balancer: cause and count, as listed.
    pub refused: Vec<(String, u64)>,
    /// In the order of the configuration.
    pub servers: Vec<Server>,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    pub name: String,
    /// `up`, `slow`, `down`, `drain` or `disabled`.
    pub state: String,
    /// Why it is in this state; empty for no reason.
    pub reason: String,
    /// What was set by hand of it; empty for nothing.
    pub by_hand: String,
    pub seconds: Option<f64>,
    pub in_flight: Option<f64>,
    /// None without a limit.
    pub max: Option<f64>,
    /// Requests that wait for room there.
    pub waiting: Option<f64>,
    /// Of the last 5 s.
    pub requests_per_second: Option<f64>,
    /// This and those below of the last minute.
    pub errors_per_second: Option<f64>,
    pub retries_per_second: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    /// Of all picks, 0 to 1.
    pub share: Option<f64>,
    pub weight: Option<f64>,
}

impl Server {
    /// Why it is as it is: the reason, and what was set by hand.
    pub fn why(&self) -> String {
        match (self.reason.as_str(), self.by_hand.as_str()) {
            (reason, "") => reason.to_owned(),
            ("", by_hand) => format!("by hand: {by_hand}"),
            (reason, by_hand) => format!("{reason}, by hand: {by_hand}"),
        }
    }

    /// Whether a person should look at it.
    pub fn is_in_trouble(&self) -> bool {
        let is_some = |value: Option<f64>| value.is_some_and(|value| value > 0.0);
        let is_full = self.max.is_some() && self.in_flight >= self.max;
        self.state != "up"
            || is_full
            || is_some(self.errors_per_second)
            || is_some(self.retries_per_second)
    }
}

impl Snapshot {
    /// Reads the text; none if it is something else.
    pub fn read(text: &str) -> Option<Snapshot> {
        let text: String = text.chars().filter(|&c| c == '\n' || is_printable(c)).collect();
        let mut lines = text.lines();
        let version = lines.next()?.strip_prefix(MAGIC)?.split(' ').next()?;
        let mut snapshot = Snapshot::default();
        snapshot.values.insert("version".to_owned(), version.to_owned());
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(' ')?;
            match name.strip_prefix("local_responses_total.") {
                Some(cause) => snapshot.refused.push((cause.to_owned(), value.parse().ok()?)),
                None => drop(snapshot.values.insert(name.to_owned(), value.to_owned())),
            }
        }
        let names: Vec<&str> = lines.next()?.split_whitespace().collect();
        snapshot.servers = lines.map(|line| server(&names, line)).collect();
        Some(snapshot)
    }

    /// The value of this name; empty if it is not known.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// The number of this name.
    pub fn number(&self, name: &str) -> Option<f64> {
        number(self.text(name))
    }
}

/// Reads the cells of one line; the last column takes the rest of it.
fn server(names: &[&str], line: &str) -> Server {
    let mut server = Server::default();
    let mut rest = line.trim_end();
    for (at, name) in names.iter().enumerate() {
        rest = rest.trim_start();
        let is_last = at + 1 == names.len();
        let end = if is_last { rest.len() } else { rest.find(' ').unwrap_or(rest.len()) };
        let (cell, after) = rest.split_at(end);
        rest = after;
        let place = match *name {
            "name" => {
                server.name = cell.to_owned();
                continue;
            }
            "state" => {
                server.state = cell.to_owned();
                continue;
            }
            "by_hand" => {
                server.by_hand = cell.strip_prefix('-').unwrap_or(cell).replace(',', " ");
                continue;
            }
            "reason" => {
                server.reason = cell.strip_prefix('-').unwrap_or(cell).to_owned();
                continue;
            }
            "since_seconds" => &mut server.seconds,
            "in_flight" => &mut server.in_flight,
            "max" => &mut server.max,
            "waiting" => &mut server.waiting,
            "requests_per_second" => &mut server.requests_per_second,
            "errors_per_second" => &mut server.errors_per_second,
            "retries_per_second" => &mut server.retries_per_second,
            "p50_seconds" => &mut server.p50_seconds,
            "p95_seconds" => &mut server.p95_seconds,
            "p99_seconds" => &mut server.p99_seconds,
            "share" => &mut server.share,
            "weight" => &mut server.weight,
            _ => continue,
        };
        *place = number(cell);
    }
    server
}

/// A number that is not negative; `-` and everything else is none.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "loadbalancer 0.1.0 status 1\n\
        ready_reason 1 of 2 servers up\n\
        in_flight 3\n\
        local_responses_total.http_request_error 2\n\
        something_new 7\n\
        \n\
        name    state max in_flight p50_seconds novel reason\n\
        h:1     up      -         3       0.004     x\n\
        [::1]:2 down    5         0           -     x connection refused\n";

    #[test]
    fn values_and_servers_are_found_by_name() {
        let snapshot = Snapshot::read(TEXT).expect("a status");
        assert_eq!(snapshot.text("version"), "0.1.0");
        assert_eq!(snapshot.text("ready_reason"), "1 of 2 servers up");
        assert_eq!(snapshot.number("in_flight"), Some(3.0));
        assert_eq!((snapshot.text("queued"), snapshot.number("queued")), ("", None));
        assert_eq!(snapshot.refused, [("http_request_error".to_owned(), 2)]);
        let [one, two] = &snapshot.servers[..] else { panic!("{snapshot:?}") };
        let Server { name, state, max, in_flight, p50_seconds, reason, .. } = one;
        assert_eq!((name.as_str(), state.as_str(), reason.as_str()), ("h:1", "up", ""));
        assert_eq!((*max, *in_flight, *p50_seconds), (None, Some(3.0), Some(0.004)));
        assert!(!one.is_in_trouble());
        let Server { name, state, max, p50_seconds, reason, .. } = two;
        assert_eq!((name.as_str(), state.as_str()), ("[::1]:2", "down"));
        assert_eq!((*max, *p50_seconds, reason.as_str()), (Some(5.0), None, "connection refused"));
        assert!(two.is_in_trouble());
    }

    #[test]
    fn a_server_is_in_trouble_when_down_full_failing_or_retried() {
        let up = || Server { state: "up".to_owned(), ..Server::default() };
        let table = [
            ("up", up(), false),
            ("down", Server { state: "down".to_owned(), ..up() }, true),
            ("below its limit", Server { in_flight: Some(1.0), max: Some(2.0), ..up() }, false),
            ("at its limit", Server { in_flight: Some(2.0), max: Some(2.0), ..up() }, true),
            ("failing", Server { errors_per_second: Some(0.1), ..up() }, true),
            ("retried", Server { retries_per_second: Some(0.1), ..up() }, true),
            ("fine", Server { errors_per_second: Some(0.0), ..up() }, false),
        ];
        for (name, server, expected) in table {
            assert_eq!(server.is_in_trouble(), expected, "{name}");
        }
    }

    #[test]
    fn what_the_balancer_writes_is_read() {
        use crate::http::writer::Writer;
        use crate::observe::{sample, status_text};
        let (counters, busy) = (sample::counters(), sample::backend_counters());
        let mut out = [0; 4096];
        let mut writer = Writer::new(&mut out);
        status_text::begin(&sample::program(&counters), 9, &mut writer);
        status_text::backend(&sample::up(&busy), sample::SECOND, 10, 9, &mut writer);
        status_text::backend(&sample::down(&busy), sample::SECOND, 10, 9, &mut writer);
        let length = writer.finish().expect("it fits");
        let snapshot = Snapshot::read(&String::from_utf8_lossy(&out[..length])).expect("a status");
        for name in [
            "version",
            "state",
            "ready_reason",
            "mode",
            "strategy",
            "listen",
            "uptime_seconds",
            "requests_per_second",
            "in_flight",
            "in_flight_max",
            "queued",
            "clients",
            "clients_idle",
            "last_minute.p50_seconds",
            "last_minute.p95_seconds",
            "last_minute.p99_seconds",
        ] {
            assert_ne!(snapshot.text(name), "", "{name}");
        }
        assert_eq!(snapshot.refused[2], ("destination_unavailable".to_owned(), 2));
        let [up, down] = &snapshot.servers[..] else { panic!("{snapshot:?}") };
        let Server { p50_seconds, p95_seconds, p99_seconds, .. } = *up;
        assert!([p50_seconds, p95_seconds, p99_seconds].iter().all(Option::is_some), "{up:?}");
        let known = Server {
            name: "127.0.0.1:1234".to_owned(),
            state: "up".to_owned(),
            reason: String::new(),
            by_hand: "weight=2".to_owned(),
            seconds: Some(75.0),
            in_flight: Some(3.0),
            max: Some(1_000.0),
            waiting: Some(4.0),
            requests_per_second: Some(2.0),
            errors_per_second: Some(1.0),
            retries_per_second: Some(0.2),
            p50_seconds,
            p95_seconds,
            p99_seconds,
            share: Some(1.0),
            weight: Some(2.0),
        };
        assert_eq!(*up, known);
        assert_eq!(down.reason, "status <500> & \"more\"");
    }

    #[test]
    fn another_text_is_refused() {
        for text in [
            "",
            "<!doctype html>\n",
            "loadbalancer",
            "loadbalancer 1\n",
            "loadbalancer 1\nword\n\n",
        ] {
            assert_eq!(Snapshot::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn no_text_controls_the_terminal() {
        let text =
            TEXT.replace("refused", "\x1b[2J\u{9b}\u{202e}refused").replace("h:1", "h\x07:1");
        let snapshot = Snapshot::read(&text).expect("a status");
        assert_eq!(snapshot.servers[0].name, "h:1");
        assert_eq!(snapshot.servers[1].reason, "connection [2Jrefused");
    }

    #[test]
    fn any_cut_of_the_text_is_read_or_refused() {
        for end in 0..=TEXT.len() {
            let _ = Snapshot::read(&TEXT[..end]);
        }
    }
}
