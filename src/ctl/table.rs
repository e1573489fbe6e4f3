//! The list of instances as text.

use crate::net::privileges::user_name;
use crate::observe::event_time::Utc;
use crate::wire::info::Info;
use crate::wire::name::Name;

const TITLES: [&str; 6] = ["ADDR", "PID", "USER", "SINCE", "STATE", "SERVERS UP"];

/// The instances, each with what it says of itself if it does.
pub fn text(rows: &[(Name, Option<Info>)]) -> String {
    let rows: Vec<[String; 6]> = std::iter::once(TITLES.map(str::to_owned))
        .chain(rows.iter().map(|(name, info)| cells(name, info.as_ref())))
        .collect();
    let widths: [usize; 6] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or_default());
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn cells(name: &Name, info: Option<&Info>) -> [String; 6] {
    let user = user_name(name.user).unwrap_or_else(|| name.user.to_string());
    let unknown = || "-".to_owned();
    let Some(Info { process, started, state, up, total, version: _ }) = info else {
        let process = name.process.map_or_else(unknown, |process| process.to_string());
        return [name.place(), process, user, unknown(), "no answer".to_owned(), unknown()];
    };
    [
        name.place(),
        process.to_string(),
        user,
        Utc(*started).to_string(),
        state.clone(),
        format!("{up} of {total}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let name = |listen: &str| Name { user: 0, listen: listen.to_owned(), process: None };
        let info = Info {
            process: 12,
            version: "0.1.0".to_owned(),
            started: 784_111_777,
            state: "running".to_owned(),
            up: 3,
            total: 4,
        };
        let rows = [(name("[::]:80"), Some(info)), (name("127.0.0.1:8080"), None)];
        let expected = "\
ADDR            PID  USER  SINCE                 STATE      SERVERS UP
[::]:80         12   root  1994-11-06T08:49:37Z  running    3 of 4
127.0.0.1:8080  -    root  -                     no answer  -
";
        assert_eq!(text(&rows), expected);
    }
}
