//! Help texts: examples first, then every row of an option table with default and unit.

use super::duration;
use super::option::{Group, Opt, Take};
use super::value::shown_log;

/// Widest line.
const WIDTH: usize = 94;

/// Where explanations begin.
const COLUMN: usize = 33;

/// The help of a command without its options.
pub struct Page {
    /// The command, as typed.
    pub program: &'static str,
    /// Its purpose in one sentence.
    pub summary: &'static str,
    /// Command lines that work, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// The forms of a call.
    pub usage: &'static [&'static str],
    /// Further paragraphs.
    pub notes: &'static [&'static str],
}

/// Names with their explanations under a heading.
pub type Section<'a> = (&'a str, &'a [(String, String)]);

/// The whole help text, ending in a newline. `defaults` is what a command line without options
/// gives.
pub fn text<T: Clone>(
    page: &Page,
    rows: &[&'static Opt<T>],
    defaults: &T,
    sections: &[Section<'_>],
) -> String {
    let mut out = format!("{}\n\nExamples:\n", page.summary);
    for (call, what) in page.examples {
        out.push_str(&format!("  {call}\n      {what}\n"));
    }
    out.push_str("\nUsage:\n");
    for form in page.usage {
        out.push_str(&format!("  {form}\n"));
    }
    for group in Group::ALL {
        let rows: Vec<(String, String)> = rows
            .iter()
            .filter(|row| row.group == group)
            .map(|row| (left(row), format!("{}{}", row.help, default(row, defaults))))
            .collect();
        list(&mut out, group.title(), &rows);
        if group == Group::How {
            for (title, entries) in sections {
                list(&mut out, title, entries);
            }
        }
    }
    for note in page.notes {
        out.push('\n');
        wrap(&mut out, note, 0);
    }
    out
}

/// The names of an option and its value.
fn left<T>(row: &Opt<T>) -> String {
    let short = row.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    format!("{short}--{} {}", row.long, row.value).trim_end().to_owned()
}

/// The default in brackets; empty where there is none.
fn default<T: Clone>(row: &Opt<T>, defaults: &T) -> String {
    let shown = match row.take {
        Take::Listen(at) => match at(&mut defaults.clone()) {
            listen if listen.port == 0 => String::new(),
            listen => listen.to_string(),
        },
        Take::Log(at) => shown_log(at(&mut defaults.clone()).as_ref()),
        Take::Text { default, .. } | Take::Path { default, .. } => default(defaults),
        Take::Duration { at, .. } => duration::show(*at(&mut defaults.clone())),
        Take::Count { at, .. } => at(&mut defaults.clone()).to_string(),
        Take::Help | Take::Version | Take::Flag(_) | Take::Each(_) | Take::Words => String::new(),
    };
    match shown.is_empty() {
        true => shown,
        false => format!(" [default: {shown}]"),
    }
}

/// A heading and its entries; nothing for none.
fn list(out: &mut String, title: &str, entries: &[(String, String)]) {
    if entries.is_empty() {
        return;
    }
    out.push_str(&format!("\n{title}:\n"));
    for (name, explanation) in entries {
        let name = format!("  {name}");
        match name.len() + 2 <= COLUMN {
            true => out.push_str(&format!("{name:COLUMN$}")),
            false => out.push_str(&format!("{name}\n{:COLUMN$}", "")),
        }
        wrap(out, explanation, COLUMN);
    }
}

/// Writes words up to [`WIDTH`]; the first line is already indented, the next ones by `indent`.
fn wrap(out: &mut String, words: &str, indent: usize) {
    let mut column = indent;
    for (i, word) in words.split(' ').enumerate() {
        let width = word.chars().count();
        if i > 0 && column + 1 + width > WIDTH {
            out.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}
