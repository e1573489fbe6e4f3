//! Servers in TLS (`https://`): the binary against servers of the library, and against those that
//! are common where they are installed.
#![cfg(feature = "tls")]

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod files;
mod installed;
mod server;
mod tcp;
mod verification;
mod words;
