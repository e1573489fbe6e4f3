//! Checks `rules.md`: each rule has a section and tests that exist, each test of this directory is
//! named by a rule, and no rule is listed twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("rules.md");

/// The RFCs of the table, with the number of their last chapter.
const RFCS: [(&str, u32); 3] = [("9110", 19), ("9112", 12), ("9209", 4)];

/// The sections that contain a MUST: of RFC 9112, and of the chapters of RFC 9110 about messages
/// and forwarding.
const WITH_A_MUST: &str = "9110 §5.1, 9110 §5.3, 9110 §5.4, 9110 §5.5, 9110 §5.6.1, 9110 §5.6.3, \
    9110 §5.6.4, 9110 §5.6.7, 9110 §6.2, 9110 §6.5.1, 9110 §6.5.2, 9110 §6.6.1, 9110 §7.1, \
    9110 §7.2, 9110 §7.4, 9110 §7.6, 9110 §7.6.1, 9110 §7.6.2, 9110 §7.6.3, 9110 §7.7, 9110 §7.8, \
    9110 §8.3, 9110 §8.4, 9110 §8.6, 9110 §8.7, 9110 §8.8, 9110 §9.2.2, 9110 §9.3.2, 9110 §9.3.4, \
    9110 §9.3.6, 9110 §9.3.7, 9110 §9.3.8, 9110 §10.1.1, 9110 §10.1.3, 9110 §10.1.4, 9110 §10.1.5, \
    9110 §10.2.1, 9110 §10.2.2, 9110 §11.5, 9110 §11.6.1, 9110 §11.6.2, 9110 §11.7.1, 9112 §2.2, \
    9112 §2.3, 9112 §3, 9112 §3.2, 9112 §3.2.1, 9112 §3.2.2, 9112 §3.2.3, 9112 §3.2.4, 9112 §4, \
    9112 §5.1, 9112 §5.2, 9112 §6.1, 9112 §6.2, 9112 §6.3, 9112 §7.1, 9112 §7.1.1, 9112 §7.1.2, \
    9112 §7.3, 9112 §7.4, 9112 §8, 9112 §9.2, 9112 §9.3, 9112 §9.3.2, 9112 §9.6, 9112 §9.7, \
    9112 §9.8, 9112 §10.1";

/// One row: the cells between the bars.
struct Row {
    number: usize,
    cells: Vec<&'static str>,
}

/// The rows of the table under this heading, without its title row.
fn rows(heading: &str) -> Vec<Row> {
    let mut within = false;
    let mut rows = Vec::new();
    for (at, line) in TABLE.lines().enumerate() {
        if let Some(name) = line.strip_prefix("## ") {
            within = name == heading;
        }
        let Some(cells) = line.strip_prefix("| ").filter(|_| within) else { continue };
        let cells: Vec<&str> = cells.trim_end_matches('|').split('|').map(str::trim).collect();
        if cells[0] != "section" {
            rows.push(Row { number: at + 1, cells });
        }
    }
    assert!(!rows.is_empty(), "rules.md has no rows under {heading:?}");
    rows
}

fn ours() -> Vec<Row> {
    rows("Ours")
}

fn others() -> Vec<Row> {
    rows("Not ours, because")
}

/// `9112 §6.3` as numbers, in the order of the table; none if it is malformed.
fn section(text: &str) -> Option<(usize, Vec<u32>)> {
    let (rfc, numbers) = text.split_once(" §")?;
    let at = RFCS.iter().position(|(name, _)| *name == rfc)?;
    let numbers = numbers.split('.').map(|number| number.parse().ok());
    let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
    let chapter_exists = (1..=RFCS[at].1).contains(numbers.first()?);
    (chapter_exists && numbers.len() <= 4 && !numbers.contains(&0)).then_some((at, numbers))
}

/// The tests a row names, each as file and function.
fn tests(row: &Row) -> Vec<(&'static str, &'static str)> {
    let cell = row.cells.last().copied().unwrap_or_default();
    let names = cell.split(", ").map(|name| name.trim_matches('`').split_once("::"));
    names.map(|name| name.unwrap_or_else(|| panic!("rules.md:{}: {cell}", row.number))).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the package") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The functions marked `#[test]`, by file.
fn all_tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    for directory in ["src", "tests"] {
        rust_files(&root().join(directory), &mut files);
    }
    let mut found = BTreeMap::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a source file");
        let mut names = BTreeSet::new();
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
                names.insert(rest.split('(').next().unwrap_or_default().to_owned());
            }
            // Ignored tests show nothing.
            marked = line == "#[test]";
        }
        let below = path.strip_prefix(root()).expect("a file of the package");
        found.insert(below.to_str().expect("a name in UTF-8").replace('\\', "/"), names);
    }
    found
}

#[test]
fn sections_are_wellformed_and_in_order() {
    for rows in [ours(), others()] {
        let mut last = None;
        for row in rows {
            assert_eq!(row.cells.len(), 3, "rules.md:{}: three cells", row.number);
            let found = section(row.cells[0]);
            assert!(found.is_some(), "rules.md:{}: {:?} is no section", row.number, row.cells[0]);
            assert!(last <= found, "rules.md:{}: {} comes too late", row.number, row.cells[0]);
            last = found;
            assert!(row.cells[1..].iter().all(|cell| cell.len() > 9), "rules.md:{}", row.number);
        }
    }
}

#[test]
fn no_section_with_a_must_is_missing() {
    let covered: BTreeSet<&str> = ours().iter().chain(&others()).map(|row| row.cells[0]).collect();
    for section in WITH_A_MUST.split(", ") {
        assert!(covered.contains(section), "rules.md does not cover RFC {section}");
    }
}

#[test]
fn no_rule_is_listed_twice() {
    let mut seen = BTreeSet::new();
    for row in ours().into_iter().chain(others()) {
        let rule = (row.cells[0], row.cells[1]);
        assert!(seen.insert(rule), "rules.md:{}: {rule:?} again", row.number);
    }
}

#[test]
fn every_rule_names_tests_that_exist() {
    let all = all_tests();
    for row in ours() {
        let named = tests(&row);
        let unique: BTreeSet<_> = named.iter().collect();
        assert_eq!(unique.len(), named.len(), "rules.md:{}: a test twice", row.number);
        for (file, name) in named {
            let there = all.get(file).is_some_and(|names| names.contains(name));
            assert!(there, "rules.md:{}: no test {name} in {file}", row.number);
        }
    }
}

#[test]
fn every_test_of_this_directory_is_named_by_a_rule() {
    let named: BTreeSet<_> = ours().iter().flat_map(tests).collect();
    for (file, names) in all_tests() {
        if !file.starts_with("tests/conformance/") || file.ends_with("/rules.rs") {
            continue;
        }
        for name in names {
            let is_named = named.contains(&(file.as_str(), name.as_str()));
            assert!(is_named, "{file}: {name} is named by no rule of rules.md");
        }
    }
}

#[test]
fn the_checks_would_notice() {
    for (text, expected) in [
        ("9110 §7.6.1", Some((0, vec![7, 6, 1]))),
        ("9112 §12", Some((1, vec![12]))),
        ("9112 §13", None),
        ("9113 §1", None),
        ("9112 6.3", None),
        ("9112 §6.", None),
        ("9112 §6.0", None),
        ("9112 §6.3, §7", None),
    ] {
        assert_eq!(section(text), expected, "{text}");
    }
    let all = all_tests();
    let ours = &all["tests/conformance/rules.rs"];
    assert!(ours.contains("the_checks_would_notice") && !ours.contains("section"));
    assert!(all["src/http/chunked.rs"].contains("limits_at_and_one_past"));
}
