//! Completions for zsh.

use super::super::command::COMMANDS;
use super::super::commands::sheets;
use super::super::sheet::{Entry, Values};
use super::{about, key, quoted, topics, words};

const HEAD: &str = r#"#compdef loadbalancer
_loadbalancer() {
  local curcontext=$curcontext state line command=balance
  typeset -A opt_args
  if (( CURRENT > 2 )); then
    case $words[2] in
      (@COMMANDS@) command=$words[2]; shift words; (( CURRENT-- )) ;;
      (--print-unit) [[ $words[3] == -- ]] && (( CURRENT > 3 )) && shift 2 words && (( CURRENT -= 2 )) ;;
    esac
  fi
  case $command in
"#;

const END: &str = r#"  esac
}
if [[ $funcstack[1] == _loadbalancer ]]; then
  _loadbalancer "$@"
else
  compdef _loadbalancer loadbalancer
fi
"#;

/// The script; it works from a directory of `fpath` and when sourced.
pub fn script(_columns: usize) -> String {
    let sheets = sheets();
    let mut out = HEAD.replace("@COMMANDS@", &COMMANDS.join("|"));
    for sheet in &sheets {
        out.push_str(&format!("    {})\n      _arguments -s -S \\\n", key(sheet)));
        out.extend(sheet.entries.iter().map(option));
        let first = match key(sheet) {
            "balance" => described(COMMANDS.into_iter().map(|it| (it, about(it, &sheets)))),
            "replay" => "_files".to_owned(),
            _ if words(sheet).is_empty() => " ".to_owned(),
            _ => format!("({})", words(sheet).join(" ")),
        };
        out.push_str(&format!("        {} '*: : '\n      ;;\n", quoted(&format!("1: :{first}"))));
    }
    let topics = quoted(&format!("1:topic:{}", described(topics())));
    out.push_str(&format!("    help)\n      _arguments {topics}\n      ;;\n"));
    out.push_str(END);
    out
}

/// A list of words, each with what it means.
fn described<'a>(words: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let words = words.map(|(word, what)| format!("{word}\\:\"{}\"", plain(what)));
    format!("(({}))", words.collect::<Vec<_>>().join(" "))
}

/// What stands for itself within a specification.
fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|char| !matches!(char, '"' | '`' | '\\')).collect();
    text.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

/// The specification of an option.
fn option(entry: &Entry) -> String {
    let help = plain(entry.help);
    let value = plain(entry.value);
    let (short_end, long_end, rest) = match &entry.values {
        Values::None => ("", "", String::new()),
        Values::Choice(names) => ("+", "=", format!(":{value}:({})", names.join(" "))),
        Values::Path => ("+", "=", format!(":{value}:_files")),
        Values::Free => ("+", "=", format!(":{value}: ")),
        Values::Attached => ("", "=-", format!("::{value}: ")),
    };
    let long = entry.long;
    let Some(short) = entry.short else {
        let repeats = if entry.repeats { "*" } else { "" };
        return format!(
            "        {} \\\n",
            quoted(&format!("{repeats}--{long}{long_end}[{help}]{rest}"))
        );
    };
    let lead = match entry.repeats {
        true => "'*'".to_owned(),
        false => quoted(&format!("(-{short} --{long})")),
    };
    let names = format!("{{-{short}{short_end},--{long}{long_end}}}");
    format!("        {lead}{names}{} \\\n", quoted(&format!("[{help}]{rest}")))
}
