//! The commands beside the balancer: `httpserver`, `get`, `top` and `demo`.

#[path = "../common/mod.rs"]
mod common;

mod demo;
mod get;
mod httpserver;
mod top;

use common::TempDir;

/// The names of all files in `directory`, sorted.
fn names_in(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).expect("the directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
