//! The man page: the help of every command and the chapters of the manual, for man(1).

use super::command::VERSION;
use super::commands::sheets;
use super::option::Group;
use super::pages;
use super::roff::{chapter, escape, inline, lines, verbatim, without_empty_paragraphs};
use super::sheet::{Entry, Sheet};
use crate::manual::TOPICS;

/// The page as roff; man(1) breaks its lines, so that the width does not matter.
pub fn text(_columns: usize) -> String {
    let mut out = format!(".TH LOADBALANCER 1 \"\" \"{}\" \"User Commands\"\n", escape(VERSION));
    let sheets = sheets();
    let Some((balancer, commands)) = sheets.split_first() else { return out };
    // One line: apropos(1) reads it.
    let purpose = balancer.page.summary.split(':').next().unwrap_or_default();
    let purpose = escape(&format!("{}{}", purpose[..1].to_lowercase(), &purpose[1..]));
    out.push_str(&format!(".SH NAME\nloadbalancer \\- {purpose}\n.SH SYNOPSIS\n"));
    out.push_str(&usage(balancer));
    out.push_str(".SH DESCRIPTION\n");
    out.push_str(&paragraphs(balancer));
    out.push_str(".SH OPTIONS\n");
    for group in Group::ALL {
        let entries: Vec<&Entry> = balancer.of_group(group).collect();
        if !entries.is_empty() {
            out.push_str(&format!(".SS {}\n", escape(group.title())));
            out.extend(entries.into_iter().map(option));
        }
    }
    out.push_str(".SH STRATEGIES\n");
    for (names, about) in pages::strategies() {
        out.push_str(&format!(".TP\n\\fB{}\\fR\n{}", escape(&names), lines(&escape(&about))));
    }
    out.push_str(".SH EXAMPLES\n");
    out.push_str(&examples(balancer));
    out.push_str(".SH COMMANDS\n");
    for sheet in commands {
        out.push_str(&format!(".SS {}\n", escape(sheet.call)));
        out.push_str(&paragraphs(sheet));
        out.push_str(&usage(sheet));
        out.extend(own_options(sheet, balancer).map(option));
        out.push_str(&examples(sheet));
    }
    for topic in TOPICS {
        let heading = topic.text.lines().next().unwrap_or_default().trim_start_matches("# ");
        out.push_str(&format!(".SH {}\n", inline(&heading.to_uppercase())));
        let place = format!("Also printed by `loadbalancer help {}`.", topic.name);
        out.push_str(&format!(".PP\n{}", lines(&inline(&place))));
        out.push_str(&chapter(topic.text));
    }
    without_empty_paragraphs(&out)
}

/// The options of a command; those of the demo are the balancer's, but for their defaults.
fn own_options<'a>(sheet: &'a Sheet, balancer: &'a Sheet) -> impl Iterator<Item = &'a Entry> {
    sheet.entries.iter().filter(|entry| {
        let is_same = |other: &Entry| {
            (other.long, other.help, &other.default) == (entry.long, entry.help, &entry.default)
        };
        !balancer.entries.iter().any(is_same)
    })
}

/// The forms of a call.
fn usage(sheet: &Sheet) -> String {
    verbatim(sheet.page.usage.iter().copied())
}

/// Its purpose and its notes.
fn paragraphs(sheet: &Sheet) -> String {
    let texts = std::iter::once(&sheet.page.summary).chain(sheet.page.notes);
    texts.map(|text| format!(".PP\n{}", lines(&escape(text)))).collect()
}

/// Command lines that work, each with what it does.
fn examples(sheet: &Sheet) -> String {
    let each = sheet.page.examples.iter();
    each.map(|(call, what)| format!(".TP\n\\fB{}\\fR\n{}", escape(call), lines(&escape(what))))
        .collect()
}

/// One option: its names bold, its value in italics.
fn option(entry: &Entry) -> String {
    let shown = entry.names();
    let (names, value) = match shown.trim().strip_suffix(entry.value) {
        Some(names) => (names, entry.value),
        None => (shown.trim(), ""),
    };
    let value = if value.is_empty() { String::new() } else { format!("\\fI{}\\fR", escape(value)) };
    let names = escape(names.trim_end());
    let space = if value.is_empty() { "" } else { " " };
    format!(".TP\n\\fB{names}\\fR{space}{value}\n{}", lines(&escape(&entry.explanation())))
}
