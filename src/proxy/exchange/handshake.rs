//! The TLS handshake of a client's connection, before its first request.

use super::{Client, Exchanges};
use crate::net::{Handshake, Net};
use crate::proxy::client::listener::Service;
use crate::proxy::client::request::RequestState;
use crate::proxy::kinds::{ClientKey, Next};
use std::io::ErrorKind;

impl<N: Net> Exchanges<N> {
    /// Goes on with the handshake once everything else is done, and if this turn has room for it.
    #[inline(never)]
    pub(super) fn shake_hands(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        if client.conn.has_failed() {
            return Next::Gone;
        }
        // What it waits for has not come: stepped for another reason.
        if !client.conn.is_readable() || !client.conn.is_writable() {
            return Next::Park;
        }
        let now = self.context.now.instant;
        if !self.context.handshake_steps.has_one() {
            return Next::Defer;
        }
        let before = self.context.handshake_steps;
        let outcome = client.conn.handshake(&mut self.context.handshake_steps);
        if self.context.handshake_steps != before {
            client.request.ready = now;
        }
        match outcome {
            Ok(Handshake::WantsRead | Handshake::WantsWrite) => Next::Park,
            Ok(Handshake::Complete) => self.begin_requests(key, client),
            Ok(Handshake::NotTls) if client.settings().service == Service::Tcp => Next::Gone,
            Ok(Handshake::NotTls) => {
                // It is read, to be answered in a way that its client understands.
                client.request.state = RequestState::Idle;
                Next::Again
            }
            Err(error) => {
                self.context.logs.failed_handshake(client.ip(), &error, now);
                match error.kind() {
                    // The client may be sending, and is to read the alert that says why.
                    ErrorKind::InvalidData => client.linger_after_refusal(&self.context),
                    _ => Next::Gone,
                }
            }
        }
    }
}
