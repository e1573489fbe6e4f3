//! The house style as tests, one per rule; each message names the file, the line, and what to do.
//!
//! The source is read as text; a small lexer separates comments and literals from code. What
//! stands under `#[cfg(test)]` and in files of tests is test code. A *line of code* is one with
//! anything but white space and comments in it, outside of test code.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
const README_LINES_MAX: usize = 300;

/// Which module may import which modules and crates: the layers, from the lowest up.
const IMPORTS: &[(&str, &str)] = &[
    ("base", "slab"),
    ("http", "base httparse"),
    ("balance", "base"),
    ("health", "base"),
    ("config", "base balance health"),
    ("manual", ""),
    ("cli", "base balance config health manual pico_args"),
    // http: what is logged of a request are fields of its parsed head.
    ("observe", "base http"),
    ("net", "base mio signal_hook socket2 libc"),
    ("proxy", "base http balance health config observe net"),
    // httpserver: both read bodies through one blocking reader. net: both write files that appear
    // under their names once they are whole.
    ("get", "base http cli config httpserver net"),
    // net: a listening socket is opened in one place.
    ("httpserver", "base http cli config net libc"),
    ("demo", "base http cli config"),
    ("serve", "base config net proxy observe"),
];

/// Crates from elsewhere, as they are written in paths.
const CRATES: [&str; 7] =
    ["httparse", "libc", "mio", "pico_args", "signal_hook", "slab", "socket2"];

/// What only the kernel's side and the blocking companions may name.
const KERNEL_PATHS: [&str; 5] = [
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Tests that need it: a counting allocator is `unsafe` by its trait, and a terminal needs calls
/// of C.
const UNSAFE_TESTS: [&str; 2] = ["tests/allocations.rs", "tests/common/terminal.rs"];

const KERNEL_MODULES: [&str; 4] = ["net", "httpserver", "get", "demo"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One line of a source file, taken apart.
#[derive(Debug, Default)]
struct Line {
    /// As it stands in the file.
    text: String,
    /// Without comments; literals are empty quotes.
    code: String,
    /// Comments only.
    comment: String,
    /// It is test code.
    is_test: bool,
}

#[derive(Debug)]
struct Source {
    /// Below the package, with `/`.
    path: String,
    lines: Vec<Line>,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).expect("a source file");
        let below = path.strip_prefix(root()).expect("a file of the package");
        let path = below.to_str().expect("a name in UTF-8").replace('\\', "/");
        let mut lines = lex(&text);
        let whole = path.ends_with("tests.rs") || path.contains("/tests/");
        mark_tests(&mut lines, whole || path.starts_with("tests/"));
        Source { path, lines }
    }

    /// The module at the top of the crate that this file belongs to.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The lines outside of tests, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.numbered().filter(|(_, line)| !line.is_test)
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(at, line)| (at + 1, line))
    }
}

fn files_below(directory: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the package") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
}

/// All files of these directories.
fn sources(directories: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for directory in directories {
        if root().join(directory).is_dir() {
            files_below(&root().join(directory), "rs", &mut paths);
        }
    }
    assert!(!paths.is_empty(), "no source in {directories:?}");
    paths.iter().map(|path| Source::read(path)).collect()
}

/// The state of the lexer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    LineComment,
    /// Nested so deep.
    BlockComment(usize),
    /// A string with escapes.
    Text,
    /// A raw text, closed by a quote and so many `#`.
    RawText(usize),
}

/// Takes the text of a file apart.
fn lex(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut within = Within::Code;
    for text in text.lines() {
        let mut line = Line { text: text.to_owned(), ..Line::default() };
        if within == Within::LineComment {
            within = Within::Code;
        }
        within = lex_line(&text.chars().collect::<Vec<_>>(), within, &mut line);
        lines.push(line);
    }
    lines
}

fn lex_line(chars: &[char], mut within: Within, line: &mut Line) -> Within {
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (next, length) = match within {
            Within::Code => lex_code(rest, &mut line.code),
            Within::LineComment => {
                line.comment.push(rest[0]);
                (within, 1)
            }
            Within::BlockComment(depth) => match rest {
                ['*', '/', ..] if depth == 1 => (Within::Code, 2),
                ['*', '/', ..] => (Within::BlockComment(depth - 1), 2),
                ['/', '*', ..] => (Within::BlockComment(depth + 1), 2),
                _ => {
                    line.comment.push(rest[0]);
                    (within, 1)
                }
            },
            Within::Text => match rest {
                ['\\', _, ..] => (within, 2),
                ['"', ..] => {
                    line.code.push('"');
                    (Within::Code, 1)
                }
                _ => (within, 1),
            },
            Within::RawText(hashes) => {
                let closes = rest[0] == '"'
                    && rest.len() > hashes
                    && rest[1..=hashes].iter().all(|char| *char == '#');
                match closes {
                    true => {
                        line.code.push('"');
                        (Within::Code, 1 + hashes)
                    }
                    false => (within, 1),
                }
            }
        };
        within = next;
        at += length;
    }
    within
}

/// What begins here in code, and how long it is.
fn lex_code(rest: &[char], code: &mut String) -> (Within, usize) {
    let inside_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    match rest {
        ['/', '/', ..] => (Within::LineComment, 2),
        ['/', '*', ..] => (Within::BlockComment(1), 2),
        ['"', ..] => {
            code.push('"');
            (Within::Text, 1)
        }
        ['r', '"' | '#', ..] if !inside_word || code.ends_with('b') => {
            let hashes = rest[1..].iter().take_while(|char| **char == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                code.push('"');
                return (Within::RawText(hashes), hashes + 2);
            }
            code.push('r');
            (Within::Code, 1)
        }
        // A character; otherwise the quote begins a lifetime.
        ['\'', '\\', _, tail @ ..] => {
            let length = tail.iter().position(|char| *char == '\'').unwrap_or(0);
            code.push_str("' '");
            (Within::Code, length + 4)
        }
        ['\'', _, '\'', ..] => {
            code.push_str("' '");
            (Within::Code, 3)
        }
        _ => {
            code.push(rest[0]);
            (Within::Code, 1)
        }
    }
}

/// Marks what stands under `#[cfg(test)]`, or everything.
fn mark_tests(lines: &mut [Line], everything: bool) {
    let mut depth = 0;
    // Depth outside the item under test; and whether its braces have been seen.
    let mut item: Option<(usize, bool)> = None;
    for line in lines {
        if line.code.contains("#[cfg(test)]") && item.is_none() {
            item = Some((depth, false));
        }
        line.is_test = everything || item.is_some();
        for char in line.code.chars() {
            match char {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            item = match item {
                Some((outside, _)) if char == '{' => Some((outside, true)),
                Some((outside, true)) if depth == outside => None,
                Some((outside, false)) if char == ';' && depth == outside => None,
                other => other,
            };
        }
    }
}

/// Every path in the code outside of tests, `a::b::c` with the line it stands on; groups in braces
/// are written out.
fn paths(source: &Source) -> Vec<(usize, String)> {
    let mut chars: Vec<(usize, char)> = Vec::new();
    for (number, line) in source.code() {
        chars.extend(line.code.chars().map(|char| (number, char)));
        chars.push((number, '\n'));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if is_word(chars[at].1) {
            path_at(&chars, &mut at, String::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Reads one path, whose first segments are `prefix`.
fn path_at(
    chars: &[(usize, char)],
    at: &mut usize,
    prefix: String,
    found: &mut Vec<(usize, String)>,
) {
    let mut path = prefix;
    let number = chars[*at].0;
    loop {
        while *at < chars.len() && is_word(chars[*at].1) {
            path.push(chars[*at].1);
            *at += 1;
        }
        let goes_on = chars.get(*at).is_some_and(|c| c.1 == ':')
            && chars.get(*at + 1).is_some_and(|c| c.1 == ':');
        if !goes_on {
            break;
        }
        *at += 2;
        path.push_str("::");
        match chars.get(*at).map(|c| c.1) {
            Some('{') => {
                *at += 1;
                return group_at(chars, at, &path, found);
            }
            Some(char) if is_word(char) => {}
            _ => break,
        }
    }
    found.push((number, path));
}

/// Reads the paths inside braces up to the closing one.
fn group_at(
    chars: &[(usize, char)],
    at: &mut usize,
    prefix: &str,
    found: &mut Vec<(usize, String)>,
) {
    while let Some((_, char)) = chars.get(*at) {
        if *char == '}' {
            *at += 1;
            return;
        }
        if is_word(*char) {
            path_at(chars, at, prefix.to_owned(), found);
        } else {
            *at += 1;
        }
    }
}

/// Fails with all complaints at once.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn modules_import_downwards_only() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]) {
        let module = source.module();
        if matches!(module, "main" | "lib") {
            continue;
        }
        let row = IMPORTS.iter().find(|(name, _)| *name == module);
        let Some((_, allowed)) = row else {
            complaints.push(format!("{}: {module} has no layer: add it to IMPORTS", source.path));
            continue;
        };
        let allowed: Vec<&str> = allowed.split(' ').chain([module]).collect();
        for (number, path) in paths(&source) {
            let mut segments = path.split("::");
            let first = segments.next().unwrap_or_default();
            let imported = match first {
                "crate" => match segments.next() {
                    Some(name) => name,
                    // A visibility.
                    None => continue,
                },
                name if CRATES.contains(&name) && path.contains("::") => name,
                _ => continue,
            };
            if !allowed.contains(&imported) {
                complaints.push(format!(
                    "{}:{number}: {module} may not import {imported} ({path}): move what is \
                     shared down, or hand it in as an argument",
                    source.path
                ));
            }
        }
    }
    none(complaints);
}

#[test]
fn only_the_kernels_side_names_sockets_clocks_and_threads() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]) {
        if KERNEL_MODULES.contains(&source.module()) {
            continue;
        }
        for (number, path) in paths(&source) {
            let banned = KERNEL_PATHS
                .iter()
                .find(|banned| path == ***banned || path.starts_with(&format!("{banned}::")));
            if let Some(banned) = banned {
                complaints.push(format!(
                    "{}:{number}: {banned} is for {} only: take time, bytes or a Net as arguments",
                    source.path,
                    KERNEL_MODULES.join(", ")
                ));
            }
        }
    }
    none(complaints);
}

#[test]
fn unsafe_stands_in_net_only_and_says_why_it_is_safe() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        for (number, line) in source.numbered() {
            let mut words = line.code.split(|char: char| !is_word(char));
            if !words.any(|word| word == "unsafe") {
                continue;
            }
            let place = format!("{}:{number}", source.path);
            if source.module() != "net" && !UNSAFE_TESTS.contains(&source.path.as_str()) {
                complaints.push(format!("{place}: unsafe outside of src/net: use a safe call"));
            }
            let above = &source.lines[number.saturating_sub(4)..number];
            if !above.iter().any(|line| line.comment.contains("SAFETY:")) {
                complaints.push(format!("{place}: unsafe without a reason: write // SAFETY: …"));
            }
        }
    }
    none(complaints);
}

#[test]
fn files_have_at_most_400_lines_of_code() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]) {
        let count = source.code().filter(|(_, line)| !line.code.trim().is_empty()).count();
        if count > FILE_LINES_MAX {
            complaints.push(format!(
                "{}:1: {count} lines of code, {FILE_LINES_MAX} at most: move a noun into a file \
                 of its own",
                source.path
            ));
        }
    }
    none(complaints);
}

/// Name, first line and number of lines of every function.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    let mut found = Vec::new();
    // A name seen whose body has not begun.
    let mut named: Option<(String, usize)> = None;
    let mut depth = 0;
    for (number, line) in source.numbered() {
        let mut after_fn = false;
        let mut word = String::new();
        for char in line.code.chars().chain(['\n']) {
            if is_word(char) {
                word.push(char);
                continue;
            }
            if after_fn && !word.is_empty() {
                named = Some((std::mem::take(&mut word), number));
            }
            // `fn(` is a type, not a function.
            after_fn = (word == "fn" || (after_fn && word.is_empty())) && char == ' ';
            word.clear();
            match char {
                '{' => {
                    if let Some((name, first)) = named.take() {
                        open.push((name, first, depth));
                    }
                    depth += 1;
                }
                '}' => {
                    depth -= 1;
                    if open.last().is_some_and(|(_, _, outside)| *outside == depth) {
                        let (name, first, _) = open.pop().expect("it was there");
                        found.push((name, first, number + 1 - first));
                    }
                }
                // Of a trait, without a body. The `;` of an array type is not the line's last, and
                // if it is, the name is set again by the next function.
                ';' if line.code.trim_end().ends_with(';') => named = None,
                _ => {}
            }
        }
    }
    found
}

#[test]
fn functions_have_at_most_70_lines() {
    let mut complaints = Vec::new();
    let mut count = 0;
    for source in sources(&["src", "tests"]) {
        for (name, first, lines) in functions(&source) {
            count += 1;
            if lines > FUNCTION_LINES_MAX {
                complaints.push(format!(
                    "{}:{first}: {name} has {lines} lines, {FUNCTION_LINES_MAX} at most: leave \
                     the branches, move what they compute into functions of their own",
                    source.path
                ));
            }
        }
    }
    assert!(count > 500, "only {count} functions were recognised");
    none(complaints);
}

fn too_long(path: &str, number: usize, line: &str) -> Option<String> {
    let columns = line.chars().count();
    (columns > COLUMNS_MAX).then(|| {
        format!("{path}:{number}: {columns} columns, {COLUMNS_MAX} at most: break the line")
    })
}

#[test]
fn lines_have_at_most_100_columns() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        for (number, line) in source.numbered() {
            complaints.extend(too_long(&source.path, number, &line.text));
        }
    }
    for path in documents().into_iter().chain([String::from("CHANGELOG.md")]) {
        let text = text(&path);
        let mut in_block = false;
        for (line, number) in text.lines().zip(1..) {
            in_block ^= line.starts_with("```");
            if !in_block && !line.starts_with('|') {
                complaints.extend(too_long(&path, number, line));
            }
        }
    }
    none(complaints);
}

#[test]
fn nothing_is_left_to_be_done_later() {
    let words = ["TO DO", "FIX ME", "X XX"].map(|word| word.replace(' ', ""));
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        for (number, line) in source.numbered() {
            for word in &words {
                if line.text.contains(word.as_str()) {
                    complaints.push(format!(
                        "{}:{number}: {word}: do it, or open it outside the tree",
                        source.path
                    ));
                }
            }
        }
    }
    none(complaints);
}

#[test]
fn unwrap_stands_in_tests_only() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]) {
        for (number, line) in source.code() {
            if line.code.contains(".unwrap()") {
                complaints.push(format!(
                    "{}:{number}: unwrap outside of tests: handle it, or expect(\"…\") with what \
                     makes it safe",
                    source.path
                ));
            }
        }
    }
    none(complaints);
}

#[test]
fn expect_states_what_makes_it_safe() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]) {
        for (number, line) in source.code() {
            let calls = line.text.match_indices(".expect(");
            for (at, call) in calls.filter(|_| line.code.contains(".expect(")) {
                let argument = line.text[at + call.len()..].trim_start();
                // Broken lines have the argument on the next one.
                let next = source.lines.get(number).map_or("", |next| next.text.trim_start());
                let argument = if argument.is_empty() { next } else { argument };
                let has_message = argument.len() > 3
                    && argument.starts_with('"')
                    && !argument.starts_with("\"\"");
                if !has_message {
                    complaints.push(format!(
                        "{}:{number}: expect without a message: state the invariant",
                        source.path
                    ));
                }
            }
        }
    }
    none(complaints);
}

#[test]
fn every_file_begins_with_what_it_is_about() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        let first = source.lines.first().map_or("", |line| line.text.as_str());
        if !first.starts_with("//! ") {
            complaints
                .push(format!("{}:1: no //! line: say what the file decides or owns", source.path));
        }
    }
    none(complaints);
}

fn readme() -> String {
    text("README.md")
}

/// A file of the package as text.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is written for people: README, the chapters of the manual, and how to test and measure.
fn documents() -> Vec<String> {
    let mut paths = Vec::new();
    files_below(&root().join("src/manual"), "md", &mut paths);
    let chapters = paths.iter().map(|path| {
        let below = path.strip_prefix(root()).expect("a file of the package");
        below.to_str().expect("a name in UTF-8").to_owned()
    });
    let others = ["README.md", "tests/README.md", "stress/README.md"].map(String::from);
    others.into_iter().chain(chapters).collect()
}

/// The section of `text` with this heading, to the next one.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let section = text.split(&format!("\n{heading}\n")).nth(1);
    let section = section.unwrap_or_else(|| panic!("no section {heading:?}"));
    section.split("\n#").next().unwrap_or_default()
}

#[test]
fn the_readme_has_at_most_300_lines() {
    let lines = readme().lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines: move details to a chapter in src/manual");
}

#[test]
fn every_part_of_the_source_stands_in_the_readmes_tour() {
    let readme = readme();
    let tour = section(&readme, "## A tour of the source");
    let mut complaints = Vec::new();
    for entry in fs::read_dir(root().join("src")).expect("the source") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let slash = if entry.path().is_dir() { "/" } else { "" };
        if entry.path().with_extension("rs").is_file() && !slash.is_empty() {
            // The rest of a module that is named by its file.
            continue;
        }
        if !tour.contains(&format!("`src/{name}{slash}`")) {
            complaints.push(format!("README.md: the tour lacks `src/{name}{slash}`"));
        }
    }
    none(complaints);
}

#[test]
fn documents_name_no_file_that_is_not_there() {
    let mut complaints = Vec::new();
    let mut count = 0;
    for document in documents() {
        let text = text(&document);
        let directory = Path::new(&document).parent().expect("a directory").to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
        let links = links.map(|link| directory.join(link));
        let quoted = text.split('`').skip(1).step_by(2).filter_map(|code| {
            let word = code.split([' ', ':']).next().unwrap_or_default();
            let is_path = ["src/", "tests/", "stress/"].iter().any(|top| word.starts_with(top));
            is_path.then(|| PathBuf::from(word))
        });
        for path in links.chain(quoted) {
            count += 1;
            if !root().join(&path).exists() {
                complaints.push(format!("{document}: {} is not there", path.display()));
            }
        }
    }
    assert!(count > 30, "only {count} were found");
    none(complaints);
}

#[test]
fn the_readme_links_to_every_chapter_and_says_what_it_is_about() {
    let readme = readme();
    let chapters = section(&readme, "## The manual");
    for topic in &loadbalancer::manual::TOPICS {
        let (name, about) = (topic.name, topic.about);
        let row = format!("| [{name}](src/manual/{name}.md) | {about} |");
        assert!(chapters.contains(&row), "README.md lacks the row: {row}");
    }
}

/// An option of `--help`.
struct Shown {
    /// Its heading there.
    group: String,
    /// With the dashes.
    long: String,
    default: String,
}

/// The options of `--help`, or of a command's.
fn options(command: &[&str]) -> Vec<Shown> {
    let help = common::run(&[command, &["--help"]].concat()).stdout;
    let mut found: Vec<Shown> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut group = "";
    for line in help.lines() {
        if let Some(heading) = line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
            group = heading;
        }
        let entry = line.trim_start();
        let indent = line.len() - entry.len();
        if indent <= 6 && entry.starts_with('-') {
            let names = entry.split("  ").next().unwrap_or_default();
            let long = names.split(' ').find(|word| word.starts_with("--")).expect("a long name");
            let long = long.split(['=', '[']).next().unwrap_or_default();
            found.push(Shown {
                group: group.to_owned(),
                long: long.to_owned(),
                default: String::new(),
            });
            texts.push(String::new());
        }
        if let Some(text) = texts.last_mut() {
            text.push_str(entry);
            text.push(' ');
        }
    }
    for (option, text) in found.iter_mut().zip(&texts) {
        let default = text.split("[default: ").nth(1).and_then(|rest| rest.split(']').next());
        option.default = default.unwrap_or_default().to_owned();
    }
    found
}

#[test]
fn the_readme_has_every_option_in_its_group() {
    let readme = readme();
    let section = section(&readme, "## Options");
    let options = options(&[]);
    assert!(options.len() > 30, "only {} options were recognised", options.len());
    let mut complaints = Vec::new();
    for option in &options {
        let (group, long) = (&option.group, &option.long);
        let list = section.split(&format!("- **{group}**")).nth(1).unwrap_or_default();
        let list = list.split("\n- **").next().unwrap_or_default();
        if !list.split("\n\n").next().unwrap_or_default().contains(&format!("`{long}`")) {
            complaints.push(format!("README.md: {long} is not in the list **{group}**"));
        }
    }
    none(complaints);
}

#[test]
fn the_readme_shows_the_short_help_as_it_is() {
    let help = common::run(&["-h"]).stdout;
    let shown = readme().contains(&format!("```text\n{help}```\n"));
    assert!(shown, "README.md shows another -h: paste this under Options:\n{help}");
}

#[test]
fn documents_name_no_option_that_is_not_there() {
    let commands: [&[&str]; 4] = [&[], &["demo"], &["httpserver"], &["get"]];
    let known: BTreeSet<String> =
        commands.iter().flat_map(|command| options(command)).map(|option| option.long).collect();
    let mut complaints = Vec::new();
    let mut count = 0;
    for document in documents() {
        if document == "tests/README.md" || document == "stress/README.md" {
            // Cargo's and the scripts' own.
            continue;
        }
        for (line, number) in text(&document).lines().zip(1..) {
            if ["cargo", "httperf"].iter().any(|other| line.contains(other)) {
                continue;
            }
            for word in line.split(|char: char| !(char.is_ascii_alphanumeric() || char == '-')) {
                let is_option = word.starts_with("--") && word.len() > word.matches('-').count();
                count += usize::from(is_option);
                if is_option && !known.contains(word) {
                    complaints.push(format!("{document}:{number}: there is no option {word}"));
                }
            }
        }
    }
    assert!(count > 60, "only {count} were found");
    none(complaints);
}

#[test]
fn every_name_of_a_strategy_stands_in_its_chapter() {
    let chapter = text("src/manual/strategies.md");
    let mut complaints = Vec::new();
    for row in &loadbalancer::balance::NAMES {
        for name in [&[row.name], row.aliases].concat() {
            if !chapter.contains(&format!("`{name}`")) {
                complaints.push(format!("strategies.md: no `{name}`"));
            }
        }
    }
    none(complaints);
}

#[test]
fn every_limit_and_time_out_stands_in_its_chapter_with_its_default() {
    let chapter = text("src/manual/limits.md");
    let rows: Vec<Vec<&str>> = chapter
        .lines()
        .filter_map(|line| line.strip_prefix('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let options = options(&[]);
    let options =
        options.iter().filter(|option| ["Time-outs", "Limits"].contains(&option.group.as_str()));
    let options: Vec<&Shown> = options.collect();
    assert!(options.len() > 10, "{}", options.len());
    let mut complaints = Vec::new();
    for Shown { long, default, .. } in options {
        let is_its = |row: &&Vec<&str>| row[2].contains(&format!("`{long}`"));
        match rows.iter().filter(is_its).collect::<Vec<_>>()[..] {
            [row] if !row[1].starts_with(default) => complaints
                .push(format!("limits.md: the table says {} for {long}: write {default}", row[1])),
            [row] if row[3].is_empty() => {
                complaints.push(format!("limits.md: the table lacks what happens past {long}"))
            }
            [_] => {}
            _ => complaints.push(format!("limits.md: no row of its own for {long}")),
        }
    }
    none(complaints);
}

#[test]
fn every_dependency_has_its_reason_in_the_readme() {
    let readme = readme();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let mut complaints = Vec::new();
    let mut section = "";
    for (at, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && let Some((name, _)) = line.split_once('=')
        {
            let name = name.trim();
            if !readme.contains(&format!("| `{name}` |")) {
                complaints.push(format!(
                    "Cargo.toml:{}: {name} has no row in README's table of dependencies: say why",
                    at + 1
                ));
            }
        }
    }
    none(complaints);
}

/// The lexer of this file, so that the rules above can be trusted.
#[test]
fn literals_comments_and_tests_are_separated_from_code() {
    let text = "let a = \"x // y\"; // note \"z\"\n\
                let b = r#\"un\"safe\"#; /* a /* b */ c */ let c = 'x';\n\
                fn f<'a>(x: &'a str) { let d = '\\''; let e = b\"\\\"\"; }\n\
                #[cfg(test)]\n\
                mod tests {\n\
                    fn g() {}\n\
                }\n\
                fn h() {}\n";
    let mut lines = lex(text);
    mark_tests(&mut lines, false);
    let code: Vec<&str> = lines.iter().map(|line| line.code.trim_end()).collect();
    assert_eq!(code[0], "let a = \"\";");
    assert_eq!(lines[0].comment, " note \"z\"");
    assert_eq!(code[1], "let b = \"\";  let c = ' ';");
    assert_eq!(code[2], "fn f<'a>(x: &'a str) { let d = ' '; let e = b\"\"; }");
    let tests: Vec<bool> = lines.iter().map(|line| line.is_test).collect();
    assert_eq!(tests, [false, false, false, true, true, true, true, false]);
    let source = Source { path: "src/x.rs".to_owned(), lines };
    let found = functions(&source);
    assert_eq!(found.len(), 3, "{found:?}");
    let mut source = source;
    source.lines = lex("use crate::{a, b::{c, d}};\nlet x = crate::e::f();\n");
    let all: Vec<String> = paths(&source).into_iter().map(|(_, path)| path).collect();
    for path in ["crate::a", "crate::b::c", "crate::b::d", "crate::e::f"] {
        assert!(all.iter().any(|found| found == path), "{path} in {all:?}");
    }
}
