//! Help texts: one screen, or examples and every row of an option table with default and unit.

use super::option::Group;
use super::sheet::{Entry, Sheet};

/// Columns of a help text where the terminal does not say how many it has, and the most that are
/// used: longer lines are hard to read.
pub const COLUMNS: usize = 78;

/// Fewest columns used, however narrow the terminal.
const COLUMNS_MIN: usize = 44;

/// Where explanations begin, and where they do on a narrow terminal: on a line of their own.
const EXPLANATION: usize = 33;
const EXPLANATION_NARROW: usize = 8;

/// Columns from which explanations stand beside the names.
const WIDE: usize = 70;

/// The help of a command on one screen: 25 lines of at most [`COLUMNS`].
pub struct Summary {
    /// The forms of a call.
    pub usage: &'static [&'static str],
    /// Command lines that work, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// The options that matter first, by long name, with few words for each.
    pub options: &'static [(&'static str, &'static str)],
    /// Where the rest is.
    pub more: &'static str,
}

/// Names with their explanations under a heading.
pub type Section<'a> = (&'a str, &'a [(String, String)]);

/// The whole help text, ending in a newline, for a terminal of so many columns.
pub fn text(sheet: &Sheet, sections: &[Section<'_>], columns: usize) -> String {
    let page = sheet.page;
    let mut out = Text { out: String::new(), columns: columns.clamp(COLUMNS_MIN, COLUMNS) };
    out.wrap(page.summary, 0);
    out.line("\nExamples:");
    for (call, what) in page.examples {
        out.line(&format!("  {call}"));
        out.out.push_str("      ");
        out.wrap(what, 6);
    }
    out.line("\nUsage:");
    for form in page.usage {
        out.line(&format!("  {form}"));
    }
    for group in Group::ALL {
        let entries: Vec<(String, String)> =
            sheet.of_group(group).map(|entry| (entry.names(), entry.explanation())).collect();
        out.list(group.title(), &entries);
        if group == Group::How {
            for (title, entries) in sections {
                out.list(title, entries);
            }
        }
    }
    for note in page.notes {
        out.line("");
        out.wrap(note, 0);
    }
    out.out
}

/// One screen of help, ending in a newline; defaults in brackets.
pub fn summary(sheet: &Sheet, summary: &Summary) -> String {
    let mut out = format!("{}\n", sheet.page.summary);
    for (number, form) in summary.usage.iter().enumerate() {
        let lead = if number == 0 { "Usage:" } else { "      " };
        out.push_str(&format!("{lead} {form}\n"));
    }
    out.push_str("\nExamples:\n");
    let calls = summary.examples.iter().map(|(call, _)| call.len()).max().unwrap_or_default();
    for (call, what) in summary.examples {
        out.push_str(&format!("  {call:calls$}  {what}\n"));
    }
    out.push_str("\nOptions, with defaults in brackets:\n");
    for (long, words) in summary.options {
        let is_it = |entry: &&Entry| entry.long == *long;
        let entry = sheet.entries.iter().find(is_it).expect("a summary names real options");
        // A default in words is for the whole help.
        let default = entry.default.as_ref().filter(|it| !it.contains(' '));
        let default = default.map(|it| format!(" [{it}]")).unwrap_or_default();
        out.push_str(&format!("  {:26}  {words}{default}\n", entry.names()));
    }
    out.push_str(&format!("\n{}\n", summary.more));
    out
}

/// A text in the making.
struct Text {
    out: String,
    columns: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// A heading and its entries; nothing for none.
    fn list(&mut self, title: &str, entries: &[(String, String)]) {
        if entries.is_empty() {
            return;
        }
        self.line(&format!("\n{title}:"));
        let column = if self.columns < WIDE { EXPLANATION_NARROW } else { EXPLANATION };
        for (name, explanation) in entries {
            let name = format!("  {name}");
            match name.len() + 2 <= column {
                true => self.out.push_str(&format!("{name:column$}")),
                false => self.out.push_str(&format!("{name}\n{:column$}", "")),
            }
            self.wrap(explanation, column);
        }
    }

    /// Words in lines of the width; the first line is already indented, the next ones by `indent`.
    fn wrap(&mut self, words: &str, indent: usize) {
        let mut column = indent;
        for (i, word) in words.split(' ').enumerate() {
            let width = word.chars().count();
            if i > 0 && column + 1 + width > self.columns {
                self.out.push_str(&format!("\n{:indent$}", ""));
                column = indent;
            } else if i > 0 {
                self.out.push(' ');
                column += 1;
            }
            self.out.push_str(word);
            column += width;
        }
        self.out.push('\n');
    }
}
