//! The way of a response through an exchange: heads, bodies, tunnels, from the server's inbox to
//! the client's outbox.

use super::pair::{Direction, Exchange, Place};
use super::pump;
use super::request_way::tunnel;
use super::verdict::{Fault, Phase};
use crate::http::body::Body;
use crate::http::cookie;
use crate::http::forward::{self, Additions, BodyTransform, Persistence};
use crate::http::framing;
use crate::http::head::{self, Parse, Version};
use crate::http::keep_alive::KeepAlive;
use crate::net::Socket;
use crate::proxy::client::listener::{Scheme, Security};
use crate::proxy::client::plan::Plan;
use crate::proxy::client::request::After;
use crate::proxy::conn::Input;

impl<S: Socket> Exchange<'_, S> {
    /// Server → client, as far as it goes.
    #[inline]
    pub(super) fn send_response(&mut self) -> Result<bool, Fault> {
        let from = &self.upstream.conn.buffers;
        match from.inbox.is_empty() && from.input == Input::Open {
            true => Ok(false),
            false => self.forward_received(),
        }
    }

    #[inline(never)]
    fn forward_received(&mut self) -> Result<bool, Fault> {
        let mut moved = false;
        while self.pair.response.is(Phase::Head) {
            if !self.forward_response()? {
                return Ok(moved);
            }
            moved = true;
        }
        match &mut self.pair.response {
            Direction::Head | Direction::Done => Ok(moved),
            Direction::Body(_) => Ok(self.send_body()? | moved),
            Direction::Tunnel => {
                if self.upstream.conn.buffers.input == Input::Failed {
                    return Err(Fault::UpstreamClosed);
                }
                let count = tunnel(&mut self.upstream.conn, self.client, self.pool);
                self.pair.record.response_bytes += count as u64;
                if count > 0 {
                    self.pair.record.answered.get_or_insert(self.now);
                }
                Ok(moved | (count > 0))
            }
        }
    }

    fn send_body(&mut self) -> Result<bool, Fault> {
        let Direction::Body(body) = &mut self.pair.response else { return Ok(false) };
        let transform = self.pair.transform;
        let from = &mut self.upstream.conn.buffers;
        let to = &mut self.client.buffers.outbox;
        let count = pump::pump(body, transform, &mut from.inbox, to, self.pool)
            .map_err(|fault| Fault::UpstreamMalformed(framing::response_body(fault)))?;
        self.pair.record.response_bytes += count as u64;
        if body.is_ended() {
            self.pair.response = Direction::Done;
            return Ok(true);
        }
        if !body.is_starved(from.inbox.data()) || from.input == Input::Open {
            return Ok(count > 0);
        }
        if !matches!(body, Body::UntilClose) || from.input == Input::Failed {
            return Err(Fault::UpstreamClosed);
        }
        if pump::finish(transform, to, self.pool) {
            self.pair.response = Direction::Done;
            return Ok(true);
        }
        Ok(count > 0)
    }

    /// Takes one response head from the server; whether one went on (or was dropped).
    fn forward_response(&mut self) -> Result<bool, Fault> {
        let has_sent = self.upstream.has_sent();
        let from = &mut self.upstream.conn.buffers;
        let data = from.inbox.data();
        if data.is_empty() {
            return if from.input == Input::Open { Ok(false) } else { Err(Fault::UpstreamClosed) };
        }
        if !has_sent {
            // An answer to nothing: left over from before, so nobody's (RFC 9112 §9.2).
            from.inbox.clear(self.pool);
            return Err(Fault::UpstreamClosed);
        }
        if !self.client.buffers.outbox.is_empty() {
            return Ok(false);
        }
        match head::response(data, self.response_head) {
            Parse::Partial if from.input == Input::Open => return Ok(false),
            Parse::Partial => {
                return Err(Fault::UpstreamMalformed("the server closed inside its head"));
            }
            // Nothing of it was forwarded, and nothing of it is a response.
            Parse::Refused(refusal) if !head::begins_like_a_response(data) => {
                from.inbox.clear(self.pool);
                return Err(Fault::NotHttp(refusal.reason));
            }
            Parse::Refused(refusal) => return Err(Fault::UpstreamMalformed(refusal.reason)),
            Parse::Complete => {}
        }
        match self.response_head.status {
            // The new protocol begins after the request.
            101 if self.pair.plan().upgrade && !self.pair.request.is(Phase::Done) => Ok(false),
            101 if self.pair.plan().upgrade => self.switch_protocols(),
            101 => Err(Fault::UpstreamMalformed("the server switched protocols unasked")),
            100..=199 => self.forward_interim(),
            _ => self.forward_final(),
        }
    }

    /// 101: from here on bytes go both ways as they come (RFC 9110 §7.8).
    #[cold]
    fn switch_protocols(&mut self) -> Result<bool, Fault> {
        if !self.was_offered() {
            let reason = "the server switched to a protocol that was not offered";
            return Err(Fault::UpstreamMalformed(reason));
        }
        if !self.admission.enter_tunnel() {
            return Err(Fault::TunnelsFull);
        }
        self.pair.place = Place::Tunnel;
        self.write_head(BodyTransform::Keep, Persistence::Upgrade, None)?;
        self.client.buffers.inbox.release();
        self.pair.record.status = 101;
        self.pair.record.answered = Some(self.now);
        self.pair.after = After::Close;
        // The client's connection has it from its listener.
        self.upstream.conn.enable_keep_alive();
        self.pair.request = Direction::Tunnel;
        self.pair.response = Direction::Tunnel;
        Ok(true)
    }

    /// Whether the 101 at hand names protocols, and only such as the client named.
    fn was_offered(&mut self) -> bool {
        let inbox = &self.client.buffers.inbox;
        assert!(inbox.is_held(), "a request with an offer is held until its response begins");
        let head = self.heads.recall(self.pair.client, inbox.held());
        let offered = head.fields.upgrade.map(|span| span.of(inbox.held()));
        let from = self.upstream.conn.buffers.inbox.data();
        let chosen = self.response_head.fields.upgrade.map(|span| span.of(from));
        offered.zip(chosen).is_some_and(|(offered, chosen)| forward::was_offered(offered, chosen))
    }

    /// Other 1xx go on as they are, but HTTP/1.0 does not know them (RFC 9110 §15.2).
    #[cold]
    fn forward_interim(&mut self) -> Result<bool, Fault> {
        self.pair.interim = true;
        self.pair.continued |= self.response_head.status == 100;
        if self.pair.plan().version == Version::Http11 {
            self.write_head(BodyTransform::Keep, Persistence::Default, None)?;
        } else {
            self.upstream.conn.buffers.inbox.consume(self.response_head.bytes);
        }
        Ok(true)
    }

    fn forward_final(&mut self) -> Result<bool, Fault> {
        let head = &self.response_head;
        let &Plan { method, version, keep_alive, .. } = self.pair.plan();
        let body = framing::response(head, method)
            .map_err(|refusal| Fault::UpstreamMalformed(refusal.reason))?;
        let mut transform = BodyTransform::of_response(head, &body, version);
        if self.edits.down.is_some() && matches!(body, Body::Chunked(_)) {
            transform = transform.without_trailers();
        }
        // An HTTP/1.0 client knows the end of such a body only by the close.
        let close_delimited =
            version == Version::Http10 && matches!(body, Body::Chunked(_) | Body::UntilClose);
        // A client that waits for leave to send its content may give it up now, and what comes next
        // from it could not be distinguished from content (RFC 9110 §10.1.1).
        let stays = keep_alive && !close_delimited && !self.pair.awaits_continue();
        let stays = stays && !self.ends_connections && !self.client_info.is_used_up(self.config);
        let persistence = match (stays, version) {
            (false, _) => Persistence::Close,
            (true, Version::Http10) => Persistence::KeepAlive,
            (true, Version::Http11) => Persistence::Default,
        };
        self.pair.after = match (stays, keep_alive) {
            (true, _) => After::NextRequest,
            (false, false) => After::Close,
            // Not what the client asked for: its next request may be on its way.
            (false, true) => After::Linger,
        };
        self.pair.upstream_stays = head.keeps_alive()
            && !matches!(body, Body::UntilClose)
            && !framing::claims_content_without_having_any(head);
        let data = self.upstream.conn.buffers.inbox.data();
        let said = KeepAlive::of(head, data);
        self.upstream.note_keep_alive(said);
        if head.fields.authenticates_connection || self.pair.plan().authenticates_connection {
            self.upstream.mark_authenticated();
        }
        self.pair.transform = transform;
        self.pair.response = Direction::after_head(body);
        self.pair.record.status = head.status;
        self.pair.record.answered = Some(self.now);
        let hsts = match self.client_info.settings().security {
            Security::Tls => self.config.hsts_seconds(),
            Security::Plain => None,
        };
        let additions = Additions { date: self.date, hsts };
        self.write_head(transform, persistence, Some(additions))?;
        self.client.buffers.inbox.release();
        Ok(true)
    }

    /// The response head in `heads` → the client's empty outbox; leaves the server's inbox.
    fn write_head(
        &mut self,
        transform: BodyTransform,
        persistence: Persistence,
        additions: Option<Additions<'_>>,
    ) -> Result<(), Fault> {
        let inbox = &mut self.upstream.conn.buffers.inbox;
        let outbox = &mut self.client.buffers.outbox;
        let head = &self.response_head;
        let out = outbox.space(self.pool);
        let mut written =
            forward::response(inbox.data(), head, transform, persistence, additions, out);
        if let (Some(edits), Ok(length)) = (&self.edits.down, written) {
            written = match head.status {
                100 | 102..=199 => Ok(edits.strip(out, length)),
                _ => edits.apply(out, length),
            };
        }
        if let (Some(tag), Some(name), Ok(length)) =
            (self.pair.cookie, &self.config.sticky, written)
            && (head.status == 101 || head.status >= 200)
        {
            let security = match self.client_info.settings().scheme {
                Scheme::Http => cookie::Security::Plain,
                Scheme::Https => cookie::Security::Secure,
            };
            written = cookie::set(out, length, (name, tag), security);
        }
        const TOO_LONG: Fault = Fault::UpstreamMalformed("the server's head is too long");
        outbox.filled(written.map_err(|_| TOO_LONG)?);
        inbox.consume(head.bytes);
        Ok(())
    }
}
