//! What README, the manual and the help say of the program, held against the program: files,
//! options, defaults, strategies and dependencies that they name.

mod common;

use loadbalancer::observe::causes::{ConnectKind, HeaderOutcome, RetryReason};
use loadbalancer::observe::families::FAMILIES;
use loadbalancer::observe::snapshot::DownKind;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const README_LINES_MAX: usize = 300;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files with this ending below a directory, added to `found` in order.
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

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
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

#[test]
fn the_manual_has_every_metric_with_its_kind_and_no_other() {
    let chapter = text("src/manual/metrics.md");
    let mut complaints = Vec::new();
    for family in &FAMILIES {
        let kind = format!("{:?}", family.kind).to_lowercase();
        let row = format!("- `{}`", family.name);
        let line = chapter.lines().find(|line| line.starts_with(&row));
        if !line.is_some_and(|line| line.contains(&format!(" {kind}:"))) {
            complaints.push(format!("metrics.md: no row {row} with the kind {kind}"));
        }
    }
    let suffixes = ["_bucket", "_sum", "_count"];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for word in chapter.split(|c| !is_name(c)).filter(|word| word.starts_with("loadbalancer_")) {
        let base = suffixes.iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
        if !FAMILIES.iter().any(|family| family.name == base || family.name == word) {
            complaints.push(format!("metrics.md: there is no metric {word}"));
        }
    }
    none(complaints);
}

#[test]
fn the_manual_has_every_value_of_a_label() {
    let chapter = text("src/manual/metrics.md");
    let labels = section(&chapter, "### Labels");
    let mut complaints = Vec::new();
    for (label, names) in [
        ("`reason` of a server", DownKind::ALL.map(DownKind::name).to_vec()),
        ("`reason` of a retry", RetryReason::ALL.map(RetryReason::name).to_vec()),
        ("`kind` of a failed connect", ConnectKind::ALL.map(ConnectKind::name).to_vec()),
        ("`outcome` of a PROXY header", HeaderOutcome::ALL.map(HeaderOutcome::name).to_vec()),
    ] {
        let item = labels.split("\n- ").find(|item| item.starts_with(label));
        let item = item.unwrap_or_else(|| panic!("metrics.md: no label {label}"));
        let missing = names.into_iter().filter(|name| !item.contains(&format!("`{name}`")));
        complaints.extend(missing.map(|name| format!("metrics.md: {label} has no value {name}")));
    }
    none(complaints);
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
    for topic in loadbalancer::manual::TOPICS {
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
    let commands: [&[&str]; 7] =
        [&[], &["demo"], &["httpserver"], &["get"], &["top"], &["ctl"], &["replay"]];
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
            if ["cargo", "certbot", "httperf"].iter().any(|other| line.contains(other)) {
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
