//! What follows from the PROXY header of a client's connection, and the one to a server.

use super::{Client, Exchanges};
use crate::net::Net;
use crate::observe::causes::HeaderOutcome;
use crate::proxy::client::listener::Security;
use crate::proxy::client::preamble::HeaderRead;
use crate::proxy::kinds::{ClientKey, Next};
use crate::proxy::upstream::acquire::Acquired;
use crate::wire::proxy_protocol;

impl<N: Net> Exchanges<N> {
    /// Reads a header; with that a session begins, or the first request may come. Without one the
    /// connection is closed.
    #[inline(never)]
    pub(super) fn read_proxy_header(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        let outcome = match client.read_proxy_header(&mut self.context) {
            HeaderRead::Incomplete(next) => return next,
            HeaderRead::Complete(outcome) => outcome,
            HeaderRead::Silent => {
                self.count_proxy_header(HeaderOutcome::None);
                return Next::Gone;
            }
            HeaderRead::Cut => {
                return self.refuse_proxy_header(
                    client,
                    HeaderOutcome::Malformed,
                    "it ends within its header",
                );
            }
            HeaderRead::Malformed(fault) => {
                return self.refuse_proxy_header(client, HeaderOutcome::Malformed, fault.reason());
            }
        };
        self.count_proxy_header(outcome);
        match client.settings().security {
            Security::Plain => self.begin_requests(key, client),
            Security::Tls if client.begin_handshake(&mut self.context).is_err() => Next::Gone,
            Security::Tls => Next::Again,
        }
    }

    /// Nothing is left that comes before the first request, or before a session.
    pub(super) fn begin_requests(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        client.await_first_request(&self.context);
        self.begin_connection(key, client)
    }

    /// No whole header has come in time.
    #[cold]
    pub(super) fn expire_proxy_header(&mut self, client: Client<'_, N>) -> Next {
        let waited = self.context.now.instant.since(client.request.ready).as_secs();
        let reason = match client.conn.buffers.inbox.is_empty() {
            // It was cut short by the end of the program, which is no fault of the other side.
            true if self.context.is_draining() => {
                self.count_proxy_header(HeaderOutcome::None);
                return Next::Gone;
            }
            true => format!("nothing has come for {waited} s"),
            false => format!("its header is not complete after {waited} s"),
        };
        self.refuse_proxy_header(client, HeaderOutcome::Late, &reason)
    }

    #[cold]
    fn refuse_proxy_header(
        &mut self,
        client: Client<'_, N>,
        outcome: HeaderOutcome,
        reason: &str,
    ) -> Next {
        self.count_proxy_header(outcome);
        let now = self.context.now.instant;
        self.context.logs.refused_header(client.ip(), reason, now);
        Next::Gone
    }

    /// Tells a server that wants to know it whose session a new connection to it is for.
    #[inline(never)]
    pub(super) fn announce(&mut self, client: Client<'_, N>, acquired: Acquired) {
        if let Some(version) = self.upstreams.cluster().spec(acquired.backend).send_proxy {
            let header = proxy_protocol::write(version, client.ends());
            self.upstreams.announce(&mut self.context, acquired.upstream, header.bytes());
        }
    }

    fn count_proxy_header(&mut self, outcome: HeaderOutcome) {
        if let Some(counters) = self.context.counters() {
            counters.proxy_header(outcome);
        }
    }
}
