//! What the list of instances shows of one: a line of `name=value` words. Unknown names are
//! skipped, so that later versions can add some.

use std::fmt;

/// One instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    pub process: u32,
    /// Of the program.
    pub version: String,
    /// Seconds since 1970.
    pub started: u64,
    /// `running`, `lame_duck` or `draining`.
    pub state: String,
    /// Servers that can take requests, and all.
    pub up: usize,
    pub total: usize,
}

impl fmt::Display for Info {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Info { process, version, started, state, up, total } = self;
        write!(out, "pid={process} version={version} started={started} state={state} ")?;
        write!(out, "up={up} total={total}")
    }
}

impl Info {
    /// Reads what is displayed; none if the process is missing.
    pub fn read(line: &str) -> Option<Info> {
        let mut info = Info::default();
        for (name, value) in line.split(' ').filter_map(|word| word.split_once('=')) {
            match name {
                "pid" => info.process = value.parse().ok()?,
                "version" => info.version = value.to_owned(),
                "started" => info.started = value.parse().ok()?,
                "state" => info.state = value.to_owned(),
                "up" => info.up = value.parse().ok()?,
                "total" => info.total = value.parse().ok()?,
                _ => {}
            }
        }
        (info.process > 0).then_some(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_unknown_names_are_skipped() {
        let info = Info {
            process: 12,
            version: "0.1.0".to_owned(),
            started: 1_790_000_000,
            state: "running".to_owned(),
            up: 3,
            total: 4,
        };
        let line = info.to_string();
        assert_eq!(Info::read(&line).as_ref(), Some(&info));
        assert_eq!(Info::read(&format!("{line} color=blue word")), Some(info));
        for other in ["", "version=1", "pid=x"] {
            assert_eq!(Info::read(other), None, "{other}");
        }
    }
}
