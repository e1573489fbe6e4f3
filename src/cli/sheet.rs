//! What help, the man page and completions show of a command: its texts, and its options out of its
//! table as text.

use super::duration;
use super::option::{Group, Opt, Take};
use super::value::shown_log;

/// The help of a command without its options.
pub struct Page {
    /// Its purpose in one sentence.
    pub summary: &'static str,
    /// Command lines that work, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// The forms of a call.
    pub usage: &'static [&'static str],
    /// Further paragraphs.
    pub notes: &'static [&'static str],
}

/// All that is shown of a command.
pub struct Sheet {
    /// As it is called: `loadbalancer get`.
    pub call: &'static str,
    /// Its texts.
    pub page: &'static Page,
    /// Its options, in the order of its table.
    pub entries: Vec<Entry>,
}

/// An option as it is shown.
pub struct Entry {
    /// Long name without the dashes.
    pub long: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// The placeholder of its value; empty for an option without one.
    pub value: &'static str,
    /// What may be written there.
    pub values: Values,
    /// Whether it may be given more than once.
    pub repeats: bool,
    /// The heading it is listed under.
    pub group: Group,
    /// What it does.
    pub help: &'static str,
    /// The default; none where there is none to show.
    pub default: Option<String>,
}

/// What may be written as the value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Nothing: it takes no value.
    None,
    /// One of these.
    Choice(Vec<&'static str>),
    /// A file or a directory.
    Path,
    /// Something that may be missing, after `=` only.
    Attached,
    /// Anything else: a number, an address.
    Free,
}

impl Sheet {
    /// Of a table; `defaults` is what a command line without options gives.
    pub fn new<T: Clone + 'static>(
        call: &'static str,
        page: &'static Page,
        rows: impl IntoIterator<Item = &'static Opt<T>>,
        defaults: &T,
    ) -> Sheet {
        let entries = rows.into_iter().map(|row| Entry::new(row, defaults)).collect();
        Sheet { call, page, entries }
    }

    /// The options under a heading.
    pub fn of_group(&self, group: Group) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.group == group)
    }
}

impl Entry {
    fn new<T: Clone + 'static>(row: &'static Opt<T>, defaults: &T) -> Entry {
        Entry {
            long: row.long,
            short: row.short,
            value: row.value,
            values: values(row),
            repeats: row.repeats(),
            group: row.group,
            help: row.help,
            default: default(row, defaults),
        }
    }

    /// Its names and its value: `-p, --listen ADDR`, with room for a short name that is missing.
    pub fn names(&self) -> String {
        let short = self.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
        match self.values {
            Values::Attached => format!("{short}--{}[={}]", self.long, self.value),
            Values::None | Values::Choice(_) | Values::Path | Values::Free => {
                format!("{short}--{} {}", self.long, self.value).trim_end().to_owned()
            }
        }
    }

    /// What it does, with its default.
    pub fn explanation(&self) -> String {
        let default = self.default.as_ref().map(|it| format!(" [default: {it}]"));
        format!("{}{}", self.help, default.unwrap_or_default())
    }
}

fn values<T>(row: &Opt<T>) -> Values {
    match row.take {
        Take::Help | Take::Version | Take::Flag { .. } => Values::None,
        Take::First { names } if names().is_empty() => Values::None,
        Take::First { names } | Take::Choice { names, .. } => Values::Choice(names()),
        Take::Log(_) | Take::Path { .. } => Values::Path,
        Take::Optional { .. } => Values::Attached,
        Take::Listen { .. }
        | Take::Text { .. }
        | Take::Duration { .. }
        | Take::Count { .. }
        | Take::Each { .. }
        | Take::Edit { .. }
        | Take::Words { .. } => Values::Free,
    }
}

/// The default as shown; none where there is none to show.
fn default<T: Clone>(row: &Opt<T>, defaults: &T) -> Option<String> {
    let shown = match row.take {
        Take::Log(at) => shown_log(at(&mut defaults.clone()).as_ref()),
        Take::Listen { default, .. }
        | Take::Text { default, .. }
        | Take::Choice { default, .. }
        | Take::Path { default, .. } => default(defaults),
        Take::Duration { at, .. } => duration::show(*at(&mut defaults.clone())),
        Take::Count { at, .. } => at(&mut defaults.clone()).to_string(),
        Take::Help
        | Take::Version
        | Take::First { .. }
        | Take::Flag { .. }
        | Take::Optional { .. }
        | Take::Each { .. }
        | Take::Edit { .. }
        | Take::Words { .. } => String::new(),
    };
    Some(shown).filter(|shown| !shown.is_empty())
}
