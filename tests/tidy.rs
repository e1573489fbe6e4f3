//! The shape of the source as a test: which module may import which, that no files import one
//! another in a circle, and how long a file may be. What a lint can say, clippy says (`.clippy.toml`,
//! `src/lib.rs`).
//!
//! The source is read as text, up to its `#[cfg(test)]` part and without comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 400;

/// Which module may import which modules and crates: the layers, from the lowest up.
const IMPORTS: &[(&str, &str)] = &[
    ("base", "slab"),
    ("http", "base httparse"),
    ("wire", "base"),
    ("balance", "base"),
    ("health", "base"),
    ("config", "base balance health wire"),
    ("manual", ""),
    // wire: the commands of `ctl` are those of the control socket.
    ("cli", "base balance config health manual wire pico_args"),
    // http: what is logged of a request are fields of its parsed head.
    ("observe", "base http wire"),
    // config: files are read, and messages quote their names. wire: the names of control sockets.
    ("net", "base config wire mio signal_hook socket2 libc rustls ring"),
    ("proxy", "base http wire balance health config observe net"),
    // httpserver: both read bodies through one blocking reader. net: both write files that appear
    // under their names once they are whole.
    ("get", "base http cli config httpserver net"),
    // net: a listening socket is opened in one place.
    ("httpserver", "base http cli config net libc"),
    // get: one client requests URLs.
    ("top", "base http cli config get net"),
    // observe: times as event lines have them.
    ("ctl", "base cli wire net observe"),
    ("demo", "base http cli config"),
    ("replay", "base balance cli config"),
    ("serve", "base wire config health net proxy observe"),
];

/// Crates from elsewhere, as they are written in paths.
const CRATES: [&str; 9] =
    ["httparse", "libc", "mio", "pico_args", "ring", "rustls", "signal_hook", "slab", "socket2"];

/// A file of the source that is no test.
struct Source {
    /// Below `src`: `proxy/conn/mod.rs`.
    path: String,
    /// The names of the modules that lead to it: `proxy`, `conn`.
    module: Vec<String>,
    /// Its lines without comments.
    code: String,
}

impl Source {
    fn read(path: &Path) -> Source {
        let below = path.strip_prefix(root()).expect("a file of the source");
        let below = below.to_str().expect("a name in UTF-8").to_owned();
        let module = below.trim_end_matches(".rs").split('/').map(String::from);
        let module = module.filter(|name| !matches!(name.as_str(), "mod" | "lib" | "main"));
        let module = module.collect();
        let text = fs::read_to_string(path).expect("a file in UTF-8");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code.lines().map(|line| line.split("//").next().unwrap_or_default());
        Source { path: below, module, code: code.collect::<Vec<_>>().join("\n") }
    }

    /// The paths it imports or names that begin with `crate`, `super`, `self` or a crate's name.
    fn paths(&self) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        for import in self.code.split("\nuse ").skip(1).chain(self.code.split("\npub use ").skip(1))
        {
            let tree = import.split(';').next().unwrap_or_default();
            expand("", tree, &mut found);
        }
        for start in ["crate::", "super::"] {
            for (at, _) in self.code.match_indices(start) {
                let is_word = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
                let rest = &self.code[at..];
                let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
                expand("", &rest[..end], &mut found);
            }
        }
        found
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// The paths of a `use` tree: `a::{b, c::{d, e}}` is three.
fn expand(prefix: &str, tree: &str, found: &mut BTreeSet<Vec<String>>) {
    let tree = tree.trim();
    if let Some((before, group)) = tree.split_once('{') {
        let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
        let (mut depth, mut start) = (0, 0);
        let ends = group.char_indices().filter(|&(_, char)| {
            depth += i32::from(char == '{') - i32::from(char == '}');
            char == ',' && depth == 0
        });
        for end in ends.map(|(at, _)| at).chain([group.len()]) {
            expand(&format!("{prefix}{before}"), &group[start..end], found);
            start = (end + 1).min(group.len());
        }
        return;
    }
    let path = format!("{prefix}{}", tree.split(" as ").next().unwrap_or_default());
    let segments = path.split("::").map(|segment| segment.trim().to_owned());
    let segments: Vec<_> = segments.filter(|segment| !segment.is_empty()).collect();
    if !segments.is_empty() {
        found.insert(segments);
    }
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every file of the source that is not a test.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    files_below(root(), &mut files);
    let is_test = |path: &Path| {
        path.components().any(|part| {
            let name = part.as_os_str().to_string_lossy();
            name == "tests" || name.ends_with("tests.rs")
        })
    };
    files.iter().filter(|path| !is_test(path)).map(|path| Source::read(path)).collect()
}

fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n\n{}\n", complaints.join("\n"));
}

#[test]
fn modules_import_downwards_only() {
    let mut complaints = Vec::new();
    for source in sources() {
        let Some(module) = source.module.first() else { continue };
        let row = IMPORTS.iter().find(|(name, _)| name == module);
        let Some((_, allowed)) = row else {
            complaints.push(format!("src/{}: {module} has no layer in IMPORTS", source.path));
            continue;
        };
        for path in source.paths() {
            let imported = match path[0].as_str() {
                "crate" => path.get(1).map(String::as_str),
                name if CRATES.contains(&name) => Some(name),
                _ => None,
            };
            let Some(imported) = imported else { continue };
            if imported != module && !allowed.split(' ').any(|one| one == imported) {
                complaints.push(format!(
                    "src/{}: {module} may not import {imported} ({}): move what is shared down, \
                     or hand it in as an argument",
                    source.path,
                    path.join("::")
                ));
            }
        }
    }
    none(&complaints);
}

/// Version 0.24 of the library has another interface, so little should know this one.
#[test]
fn only_the_folder_of_tls_knows_its_library() {
    let complaints: Vec<String> = sources()
        .iter()
        .filter(|source| !source.path.starts_with("net/tls/"))
        .filter(|source| source.paths().iter().any(|path| path[0] == "rustls" || path[0] == "ring"))
        .map(|source| format!("src/{} names the TLS library; only net/tls/ may", source.path))
        .collect();
    none(&complaints);
}

/// The files that each file imports from. A `mod` line is no import.
fn edges(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let files: BTreeMap<&[String], &str> =
        sources.iter().map(|source| (&source.module[..], source.path.as_str())).collect();
    let mut edges = BTreeMap::new();
    for source in sources {
        let mut imported = BTreeSet::new();
        for path in source.paths() {
            let (mut base, mut rest) = (source.module.clone(), &path[..]);
            match rest[0].as_str() {
                "crate" => base.clear(),
                "self" => {}
                "super" => {
                    base.pop();
                    while rest.get(1).is_some_and(|next| next == "super") {
                        base.pop();
                        rest = &rest[1..];
                    }
                }
                _ => {
                    base.push(rest[0].clone());
                    // A child module named without `self`; everything else is another crate.
                    if !files.contains_key(&base[..]) {
                        continue;
                    }
                }
            }
            base.extend(rest[1..].iter().cloned());
            let file = (1..=base.len()).rev().find_map(|length| files.get(&base[..length]));
            imported.extend(file.filter(|file| **file != source.path));
        }
        edges.insert(source.path.as_str(), imported);
    }
    edges
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    let sources = sources();
    let mut edges = edges(&sources);
    // A file that imports nothing of what is left is in no circle.
    loop {
        let leaves: Vec<&str> =
            edges.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| *from).collect();
        if leaves.is_empty() {
            break;
        }
        edges.retain(|from, _| !leaves.contains(from));
        edges.values_mut().for_each(|to| to.retain(|file| !leaves.contains(file)));
    }
    // Nor is one that nothing of what is left imports.
    loop {
        let imported: BTreeSet<&str> = edges.values().flatten().copied().collect();
        let before = edges.len();
        edges.retain(|from, _| imported.contains(from));
        if edges.len() == before {
            break;
        }
    }
    let complaints: Vec<String> = edges
        .iter()
        .map(|(from, to)| {
            format!("src/{from} imports {}", Vec::from_iter(to.iter().copied()).join(", "))
        })
        .collect();
    none(&complaints);
}

/// conn is below all; upstream and client do not know each other; exchange is above the three.
#[test]
fn the_machines_of_the_proxy_import_in_one_direction() {
    let allowed: [(&str, &[&str]); 6] = [
        ("conn", &[]),
        ("upstream", &["conn"]),
        ("client", &["conn"]),
        ("exchange", &["conn", "upstream", "client"]),
        ("admin", &["conn", "upstream", "client", "exchange"]),
        ("control", &["conn"]),
    ];
    let sources = sources();
    let mut complaints = Vec::new();
    for (from, imported) in edges(&sources) {
        for (machine, below) in allowed {
            let folder = |name: &str| format!("proxy/{name}/");
            if !from.starts_with(&folder(machine)) {
                continue;
            }
            for to in &imported {
                let other = allowed.iter().find(|(name, _)| to.starts_with(&folder(name)));
                let is_above = matches!(*to, "proxy/mod.rs" | "proxy/turn.rs");
                let is_beside =
                    other.is_some_and(|(name, _)| *name != machine && !below.contains(name));
                if is_above || is_beside {
                    complaints.push(format!("src/{from} may not import src/{to}"));
                }
            }
        }
    }
    none(&complaints);
}

#[test]
fn files_have_at_most_400_lines_of_code() {
    let mut complaints = Vec::new();
    for source in sources() {
        let count = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        if count > FILE_LINES_MAX {
            complaints.push(format!(
                "src/{}: {count} lines of code, {FILE_LINES_MAX} at most: move a noun into a file \
                 of its own",
                source.path
            ));
        }
    }
    none(&complaints);
}

#[test]
fn every_file_begins_with_what_it_is_about() {
    let mut files = Vec::new();
    files_below(root(), &mut files);
    let silent = files.iter().filter(|path| {
        let text = fs::read_to_string(path).expect("a file in UTF-8");
        !text.starts_with("//! ")
    });
    let complaints: Vec<String> =
        silent.map(|path| format!("{}: no //! line", path.display())).collect();
    none(&complaints);
}

#[test]
fn paths_are_found_in_trees_of_imports() {
    let mut found = BTreeSet::new();
    expand("", "crate::{a, b::{c as d, e}}", &mut found);
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a", "crate::b::c", "crate::b::e"]);
}
