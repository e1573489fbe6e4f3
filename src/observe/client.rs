//! Clients as logs name them.

use std::fmt;
use std::net::IpAddr;

/// The name of a unix socket's client, which has no address, in logs: that of nginx.
pub const UNIX_CLIENT: &str = "unix:";

/// A client's address as people read it.
#[derive(Clone, Copy, Debug)]
pub struct ClientName(pub Option<IpAddr>);

impl fmt::Display for ClientName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ip) => ip.to_canonical().fmt(out),
            None => out.write_str(UNIX_CLIENT),
        }
    }
}
