//! The corpus of the fuzzer as ordinary tests: each file of `corpus/TARGET` is passed to the same
//! function as in a long run (`stress/fuzz.sh`), which adds its findings to these files.

mod targets;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// Most bytes of all files together, so that the repository stays small.
const CORPUS_BYTES_MAX: usize = 200 * 1024;

/// Fewest files per target: fewer would mean that the directory was not found.
const FILES_MIN: usize = 10;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The files of one target with their content.
fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus().join(target)).expect("a directory for each target");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let content = |path: PathBuf| (path.clone(), fs::read(path).expect("a file of the corpus"));
    paths.into_iter().map(content).collect()
}

/// Names the file that was being checked when a property failed.
struct Reading(PathBuf);

impl Drop for Reading {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("broken by {}", self.0.display());
        }
    }
}

#[test]
fn every_corpus_file_satisfies_the_properties() {
    for &(target, run) in targets::TARGETS {
        for (path, content) in files(target) {
            let _reading = Reading(path);
            run(&content);
        }
    }
}

#[test]
fn the_corpus_is_there_and_small() {
    let mut bytes = 0;
    for &(target, _) in targets::TARGETS {
        let files = files(target);
        assert!(files.len() >= FILES_MIN, "{target} has {} files", files.len());
        bytes += files.iter().map(|(_, content)| content.len()).sum::<usize>();
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes: run stress/fuzz.sh --merge");
    let entries = fs::read_dir(corpus()).expect("the corpus");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut known: BTreeSet<OsString> =
        targets::TARGETS.iter().map(|(target, _)| target.into()).collect();
    // Without TLS there is no target for its files.
    known.insert("records".into());
    assert_eq!(names.collect::<BTreeSet<_>>(), known, "files of no target");
}
