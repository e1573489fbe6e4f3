//! Why nothing can be shown, as one line that shows nothing a server could use against a terminal.

use crate::base::reason::reason;
use crate::config::HostPort;
use crate::get;
use std::fmt;
use std::io;

/// Why `top` ended.
#[derive(Debug)]
pub enum Failure {
    /// No connection; most often the balancer does not run or has no `--admin`.
    Connect(HostPort, io::Error),
    /// Something listens there and it is no admin address of this program.
    NotAdmin(HostPort),
    /// The answer has begun and does not end.
    Late(HostPort),
    /// The request failed in another way.
    Request(get::Failure),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect(admin, error) => write!(
                f,
                "{admin}: cannot connect: {}; start the balancer with --admin ADDR, \
                 and write the same address here",
                reason(error)
            ),
            Failure::NotAdmin(admin) => write!(
                f,
                "{admin} is not the admin address of a balancer: write what follows its --admin"
            ),
            Failure::Late(admin) => write!(
                f,
                "{admin}: no whole answer in time; is the machine or the network overloaded?"
            ),
            Failure::Request(failure) => failure.fmt(f),
            Failure::Output(error) => write!(f, "cannot write the table: {}", reason(error)),
        }
    }
}

impl std::error::Error for Failure {}
