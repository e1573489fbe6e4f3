//! `--print-config`: every option of the table with its value and where that comes from, a line
//! each: `option value origin`. The value may have spaces, the other two have none.

use super::duration;
use super::option::{Group, Opt, Take};
use super::value::shown_log;
use crate::config::Config;

/// Stands for a value that is not set.
const NONE: &str = "none";

/// The lines about the options that have an effect in the mode of `config`; `is_given` tells whether
/// the one of this long name is on the command line.
pub fn lines(
    rows: &[&'static Opt<Config>],
    config: &Config,
    is_given: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    let rows = rows.iter().filter(|row| row.group != Group::About);
    for row in rows.filter(|row| row.modes.contains(&config.mode)) {
        let origin = if is_given(row.long) { "command-line" } else { "default" };
        let mut values = values(row, config);
        if values.is_empty() {
            values.push(String::new());
        }
        let line = |value: &String| match value.is_empty() {
            true => format!("{} {NONE} {origin}", row.long),
            false => format!("{} {} {origin}", row.long, one_line(value)),
        };
        lines.extend(values.iter().map(line));
    }
    lines
}

/// File names may have any character.
fn one_line(value: &str) -> String {
    let escape = |char: char| match char.is_control() {
        true => char.escape_default().collect::<String>(),
        false => char.to_string(),
    };
    value.chars().map(escape).collect()
}

fn values(row: &Opt<Config>, config: &Config) -> Vec<String> {
    match row.take {
        Take::Help | Take::Version | Take::First { .. } => Vec::new(),
        Take::Flag { is_set, .. } => vec![if is_set(config) { "on" } else { "off" }.to_owned()],
        Take::Optional { shown, .. } => vec![shown(config)],
        Take::Each { shown, .. } | Take::Edit { shown, .. } | Take::Words { shown } => {
            shown(config)
        }
        Take::Log(at) => vec![shown_log(at(&mut config.clone()).as_ref())],
        Take::Listen { default, .. }
        | Take::Text { default, .. }
        | Take::Choice { default, .. }
        | Take::Path { default, .. } => vec![default(config)],
        Take::Duration { at, .. } => vec![duration::show(*at(&mut config.clone()))],
        Take::Count { at, .. } => vec![at(&mut config.clone()).to_string()],
    }
}
