//! Completions for bash.

use super::super::command::COMMANDS;
use super::super::commands::sheets;
use super::super::sheet::{Sheet, Values};
use super::{key, topics, words};

/// What does not depend on the tables. Bash makes words of their own out of `=` and what is around
/// it, so that `--mode=tcp` is three. File names are left to the shell, which quotes them.
const BODY: &str = r#"    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local command=balance values options=''
    case ${COMP_WORDS[1]} in
        @COMMANDS@) [ "$COMP_CWORD" -gt 1 ] && command=${COMP_WORDS[1]} ;;
    esac
    if [ "$word" = = ]; then
        word=''
    elif [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    COMPREPLY=()
    case $command:$before in
"#;

const END: &str = r#"    esac
    case $command in
@OPTIONS@    esac
    if [ "$COMP_CWORD" -eq 1 ] && [ "${word#-}" = "$word" ]; then
        options='@COMMAND_WORDS@'
    elif [ "${word#-}" = "$word" ]; then
        [ "$command" = replay ] && compopt -o default 2>/dev/null
        case $command in help|ctl) ;; *) return ;; esac
    fi
    COMPREPLY=($(compgen -W "$options" -- "$word"))
}
complete -F _loadbalancer loadbalancer
"#;

/// The script.
pub fn script(_columns: usize) -> String {
    let sheets = sheets();
    let head = BODY.replace("@COMMANDS@", &COMMANDS.join("|"));
    let mut out = format!("# bash completion for loadbalancer\n_loadbalancer()\n{{\n{head}");
    for sheet in &sheets {
        out.push_str(&values(sheet));
    }
    let mut options: String = sheets.iter().map(all_options).collect();
    let topics: Vec<&str> = topics().map(|(name, _)| name).collect();
    options.push_str(&format!("        help) options='{}' ;;\n", topics.join(" ")));
    out.push_str(
        &END.replace("@OPTIONS@", &options).replace("@COMMAND_WORDS@", &COMMANDS.join(" ")),
    );
    out
}

/// A branch for each option with a value.
fn values(sheet: &Sheet) -> String {
    let mut out = String::new();
    for entry in &sheet.entries {
        let key = key(sheet);
        let short = entry.short.map(|short| format!("{key}:-{short}|")).unwrap_or_default();
        let action = match &entry.values {
            Values::None => continue,
            // Only behind its `=`, and there is nothing to propose for most.
            Values::Attached => continue,
            Values::Choice(names) => {
                format!("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", names.join(" "))
            }
            Values::Path => "compopt -o default 2>/dev/null".to_owned(),
            Values::Free => ":".to_owned(),
        };
        out.push_str(&format!("        {short}{key}:--{})\n", entry.long));
        out.push_str(&format!("            {action}\n            return ;;\n"));
    }
    out
}

/// All long names of a command, and the short ones; behind the words that follow it.
fn all_options(sheet: &Sheet) -> String {
    let own = words(sheet).into_iter().map(str::to_owned);
    let long = sheet.entries.iter().map(|entry| format!("--{}", entry.long));
    let short = sheet.entries.iter().filter_map(|entry| Some(format!("-{}", entry.short?)));
    let names: Vec<String> = own.chain(long).chain(short).collect();
    format!("        {}) options='{}' ;;\n", key(sheet), names.join(" "))
}
