//! A load balancer in one thread and one poll loop.
//!
//! The library is the program: the binary only turns its arguments into a [`cli::Command`] and
//! runs it. It exists as a library so that `tests/` can drive the parts; its interface promises
//! nothing to others.
//!
//! # The shape
//!
//! - [`base`] is the lowest layer: time as numbers, typed tables, lent buffers, the timer wheel.
//! - [`http`], [`wire`], [`balance`], [`health`], [`config`] and [`observe`] decide and format. They
//!   do no I/O, read no clock and roll no dice: bytes, time and seeds are arguments.
//! - [`net`] is the kernel behind one trait, so that the simulation can be another kernel.
//! - [`proxy`] is the machine. It owns every table and turns them: wait, mark, expire, accept, run,
//!   write. One [`proxy::Proxy`] holds all state; there are no globals and no shared ownership.
//! - [`serve`] starts it; [`cli`] reads the command line, [`manual`] has the chapters it prints;
//!   [`httpserver`], [`get`], [`top`], [`ctl`] and [`demo`] are small blocking commands beside the
//!   balancer.
//!
//! # What holds everywhere
//!
//! - A token names an entry by kind, generation and index: a key to something that is gone finds
//!   nothing, and a key of one kind cannot be used for another.
//! - Reports are read to the end before anything is changed because of them.
//! - Each wait has exactly one deadline, and the state of its owner is the reason for it.
//! - Room is the only back-pressure: there is no "blocked" flag to set or forget.
//! - What can be decided without touching a socket is decided by a pure function that returns an
//!   enum, and one `match` carries it out.

// Outside of tests a failure is a value, and what an assertion relies on has a name.
#![deny(clippy::unwrap_used, clippy::too_many_lines, clippy::undocumented_unsafe_blocks)]
// Clocks, threads and blocking sockets are for the kernel's side and the blocking companions.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod balance;
pub mod base;
pub mod cli;
pub mod config;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod ctl;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod demo;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod get;
pub mod health;
pub mod http;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod httpserver;
pub mod manual;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod net;
pub mod observe;
pub mod proxy;
pub mod replay;
pub mod serve;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod top;
pub mod wire;
