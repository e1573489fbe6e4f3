//! Every MUST of RFC 9110 and RFC 9112 that a gateway has, as seen from outside. `rules.md` says
//! which test shows which rule; `rules.rs` holds that table to what is there.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod exchanges;
mod requests;
mod responses;
mod rules;
mod splits;
