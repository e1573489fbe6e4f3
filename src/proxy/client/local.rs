//! Writing a response of this program's own into a client's outbox.

use super::answer::Answer;
use super::connection::Connection;
use super::plan::Plan;
use super::request::After;
use crate::http::head::{self, Method, Version};
use crate::http::reply::{self, Content, Reply, Written};
use crate::http::target;
use crate::net::{Net, Socket};
use crate::observe::ProxyError;
use crate::proxy::context::LoopContext;

/// Where `Location` leads to.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A server, as `http://host:port`.
    Backend(&'a str),
    /// The host that was asked for, in TLS on this port.
    Tls { port: u16 },
}

/// What a local answer is made of.
#[derive(Clone, Copy, Debug)]
pub struct LocalAnswer<'a> {
    pub answer: Answer,
    /// The request, if its head could be used.
    pub plan: Option<&'a Plan>,
    /// For `Location`, with the request's path.
    pub origin: Option<Origin<'a>>,
    /// `Retry-After` in seconds, for an answer that may be another one later.
    pub retry_after: u32,
    pub request_id: u64,
    pub content: Content<'a>,
}

impl<S: Socket> Connection<S> {
    /// Writes an answer; the connection stays when the request can be skipped. None when it does
    /// not fit into the outbox, which a page and a target within their limits do.
    pub fn write_answer<N: Net>(
        &mut self,
        cx: &mut LoopContext<N>,
        local: &LocalAnswer<'_>,
    ) -> Option<(After, Written)> {
        let LocalAnswer { answer, plan, .. } = *local;
        let last = self.is_at_its_last(cx);
        // In the clear it says nothing (RFC 6797 §7.2).
        let hsts = self.conn.is_encrypted().then(|| cx.config.hsts_seconds()).flatten();
        let buffers = &mut self.conn.buffers;
        let inbox = &mut buffers.inbox;
        if inbox.is_held() {
            inbox.rewind();
            inbox.release();
        }
        let skippable = plan.filter(|plan| {
            plan.body.is_ended() && plan.keep_alive && inbox.data().len() >= plan.head_bytes
        });
        let stays = skippable.is_some() && !last;
        let colon_port = match local.origin {
            // The port of https is not said (RFC 9110 §4.2.2).
            Some(Origin::Tls { port: 443 }) | Some(Origin::Backend(_)) | None => String::new(),
            Some(Origin::Tls { port }) => format!(":{port}"),
        };
        let location = local.origin.zip(plan).map(|(origin, Plan { target, .. })| {
            let [lead, path] = target.after_authority(inbox.data());
            match origin {
                Origin::Backend(origin) => [origin.as_bytes(), b"" as &[u8], b"", lead, path],
                Origin::Tls { .. } => {
                    let host = target.authority.map(|span| span.of(inbox.data()));
                    let host = target::without_port(host.unwrap_or_default());
                    [b"https://", host, colon_port.as_bytes(), lead, path]
                }
            }
        });
        let again = answer.status == 503 || answer.cause == ProxyError::Unavailable;
        let reply = Reply {
            status: answer.status,
            sentence: answer.reason,
            date: &cx.date,
            error: answer.cause.name(),
            request_id: local.request_id,
            retry_after: answer.retry_after.or(again.then_some(local.retry_after)),
            location,
            hsts,
            close: !stays,
            keep_alive: stays && plan.is_some_and(|plan| plan.version == Version::Http10),
            // Without a plan what came is all there is to go by.
            head_only: plan.map_or_else(
                || head::is_head_request(inbox.data()),
                |plan| plan.method == Method::Head,
            ),
            content: local.content,
        };
        let written = reply::write(&reply, buffers.outbox.space(&mut cx.pool)).ok()?;
        buffers.outbox.filled(written.bytes);
        if let Some(plan) = skippable {
            buffers.inbox.consume(plan.head_bytes);
        }
        let after = match answer.status {
            _ if stays => After::NextRequest,
            // A slow client has had its time: the end of the program does not wait for it twice.
            408 if cx.is_draining() => {
                buffers.inbox.clear(&mut cx.pool);
                After::Close
            }
            _ => After::Linger,
        };
        Some((after, written))
    }
}
