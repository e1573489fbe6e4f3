//! Every MUST of RFC 9110 and RFC 9112 for a gateway, tested from outside. `rules.md` lists the
//! tests of each rule; `rules.rs` checks that table.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod exchanges;
mod requests;
mod responses;
mod rules;
mod splits;
