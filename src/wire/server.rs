//! Which server an operator means: as written at the start, by its port, or by the beginning of its
//! name.

use std::fmt;

/// Names shown of several; more are only counted.
const NAMED_MAX: usize = 4;

/// No server is meant, or more than one.
#[derive(Debug, PartialEq, Eq)]
pub enum NotFound {
    /// What was asked for, and the servers there are.
    None(String, Vec<String>),
    /// What was asked for, and those it may mean.
    Several(String, Vec<String>),
}

impl fmt::Display for NotFound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, verb) = match self {
            NotFound::None(wanted, names) if names.is_empty() => {
                return write!(out, "there is no server `{wanted}`, as there is none at all");
            }
            NotFound::None(wanted, names) => {
                write!(out, "there is no server `{wanted}`; ")?;
                (names, if names.len() == 1 { "there is " } else { "there are " })
            }
            NotFound::Several(wanted, names) => {
                write!(out, "`{wanted}` may be one of {}: ", names.len())?;
                (names, "")
            }
        };
        let (named, more) = names.split_at(names.len().min(NAMED_MAX));
        write!(out, "{verb}{}", named.join(", "))?;
        match more.len() {
            0 => Ok(()),
            more => write!(out, " and {more} more"),
        }
    }
}

/// The place of the server that `wanted` means, among these names (`host:port`).
pub fn find<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<usize, NotFound> {
    type Test = fn(&str, &str) -> bool;
    // A bare port is a server of this machine before it is a port of any.
    let tests: [Test; 4] = [
        |name, wanted| name.eq_ignore_ascii_case(wanted),
        |name, wanted| name.strip_prefix("localhost:") == Some(wanted),
        |name, wanted| name.rsplit_once(':').is_some_and(|(_, port)| port == wanted),
        |name, wanted| name.get(..wanted.len()).is_some_and(|it| it.eq_ignore_ascii_case(wanted)),
    ];
    // With its port a name is whole: the beginning of another one is another server.
    let port = wanted.rsplit(':').next().unwrap_or_default();
    let is_whole = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let count = tests.len() - usize::from(is_whole);
    for test in tests.into_iter().take(count).filter(|_| !wanted.is_empty()) {
        let mut found = names.clone().enumerate().filter(|(_, name)| test(name, wanted));
        match (found.next(), found.next()) {
            (Some((place, _)), None) => return Ok(place),
            (None, _) => {}
            (Some(_), Some(_)) => {
                let all = names.filter(|name| test(name, wanted)).map(str::to_owned);
                return Err(NotFound::Several(wanted.to_owned(), all.collect()));
            }
        }
    }
    Err(NotFound::None(wanted.to_owned(), names.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = [
        "localhost:1234",
        "10.0.0.1:1234",
        "10.0.0.1:5678",
        "app-a.internal:80",
        "app-b.internal:80",
        "[::1]:9000",
    ];

    #[test]
    fn a_server_is_found_by_name_port_or_beginning() {
        for (wanted, expected) in [
            ("localhost:1234", 0),
            ("1234", 0),
            ("10.0.0.1:1234", 1),
            ("5678", 2),
            ("APP-A.internal:80", 3),
            ("app-a", 3),
            ("9000", 5),
            ("[::1]", 5),
            ("l", 0),
        ] {
            assert_eq!(find(wanted, NAMES.into_iter()), Ok(expected), "{wanted}");
        }
    }

    #[test]
    fn what_means_none_or_several_is_refused_with_names() {
        for (wanted, expected) in [
            ("80", "`80` may be one of 2: app-a.internal:80, app-b.internal:80"),
            ("10.0.0.1", "`10.0.0.1` may be one of 2: 10.0.0.1:1234, 10.0.0.1:5678"),
            (
                "9",
                "there is no server `9`; there are localhost:1234, 10.0.0.1:1234, 10.0.0.1:5678, \
                 app-a.internal:80 and 2 more",
            ),
        ] {
            let error = find(wanted, NAMES.into_iter()).expect_err(wanted);
            assert_eq!(error.to_string(), expected, "{wanted}");
        }
        for whole in ["10.0.0.1:123", "123", "localhost:1"] {
            let error = find(whole, NAMES.into_iter()).expect_err(whole);
            assert!(matches!(error, NotFound::None(..)), "{whole}: {error}");
        }
        let one = find("x", ["a:1"].into_iter()).expect_err("another");
        assert_eq!(one.to_string(), "there is no server `x`; there is a:1");
        let none = find("x", [].into_iter()).expect_err("none");
        assert_eq!(none.to_string(), "there is no server `x`, as there is none at all");
        assert!(find("", NAMES.into_iter()).is_err(), "no name is the beginning of all");
    }
}
