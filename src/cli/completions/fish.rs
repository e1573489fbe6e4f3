//! Completions for fish.

use super::super::command::COMMANDS;
use super::super::commands::sheets;
use super::super::sheet::{Entry, Sheet, Values};
use super::{about, key, quoted, topics, words};

/// A command is the first word only: a file may have its name.
const HEAD: &str = "\
# fish completion for loadbalancer
function __loadbalancer_is
    set -l words (commandline -opc)
    set -l command balance
    if set -q words[2]; and contains -- $words[2] @COMMANDS@
        set command $words[2]
    end
    test $command = $argv[1]
end
function __loadbalancer_is_first
    test (count (commandline -opc)) -eq 1
end
complete -c loadbalancer -f
";

/// The script.
pub fn script(_columns: usize) -> String {
    let sheets = sheets();
    let mut out = HEAD.replace("@COMMANDS@", &COMMANDS.join(" "));
    for command in COMMANDS {
        let what = quoted(about(command, &sheets));
        out.push_str(&format!(
            "complete -c loadbalancer -n __loadbalancer_is_first -a {command} -d {what}\n"
        ));
    }
    for (topic, what) in topics() {
        let what = quoted(what);
        out.push_str(&format!(
            "complete -c loadbalancer -n '__loadbalancer_is help' -a {topic} -d {what}\n"
        ));
    }
    for sheet in &sheets {
        let words = words(sheet).join(" ");
        if !words.is_empty() {
            let (key, words) = (key(sheet), quoted(&words));
            out.push_str(&format!(
                "complete -c loadbalancer -n '__loadbalancer_is {key}' -a {words}\n"
            ));
        }
        out.extend(sheet.entries.iter().map(|entry| option(sheet, entry)));
    }
    out.push_str("complete -c loadbalancer -n '__loadbalancer_is replay' -F\n");
    out
}

fn option(sheet: &Sheet, entry: &Entry) -> String {
    let short = entry.short.map(|short| format!(" -s {short}")).unwrap_or_default();
    let value = match &entry.values {
        Values::None | Values::Attached => String::new(),
        Values::Choice(names) => format!(" -x -a {}", quoted(&names.join(" "))),
        Values::Path => " -r -F".to_owned(),
        Values::Free => " -x".to_owned(),
    };
    format!(
        "complete -c loadbalancer -n '__loadbalancer_is {}'{short} -l {}{value} -d {}\n",
        key(sheet),
        entry.long,
        quoted(entry.help)
    )
}
