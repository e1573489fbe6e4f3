//! What becomes of a pair, from what is known about it: one total decision, pure.
//!
//! The rules: a request goes to another server when nothing of it can have been acted upon, or
//! when doing it twice is the same as once, it is still held whole, and no byte of an answer has
//! come (RFC 9110 §9.2.2, RFC 9112 §9.3.1). A response that stops short is cut short for the
//! client too, so that it shows (RFC 9112 §8).

use crate::base::connect_fault::ConnectFault;
use crate::http::head::Refusal;
use crate::observe::causes::RetryReason;
use crate::observe::{Outcome, ProxyError};
use crate::proxy::client::answer::Answer;
use crate::proxy::upstream::Origin;

/// How far one direction of an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Head,
    Body,
    Tunnel,
    Done,
}

/// What went wrong, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client reset, or ended inside its message.
    ClientGone,
    /// The client's body breaks the framing or a limit.
    ClientMalformed(Refusal),
    /// The server could not be connected to.
    ConnectFailed(ConnectFault),
    /// The server ended or reset, its response not being complete.
    UpstreamClosed,
    /// The server's response breaks the framing or a limit.
    UpstreamMalformed(&'static str),
    /// The server sent something other than a response.
    NotHttp(&'static str),
    /// The deadline of the wait has passed.
    Expired,
    /// The server's health checks hang: its answer may never come.
    ServerHangs,
    /// The server has switched protocols, and there are as many tunnels as there may be.
    TunnelsFull,
    /// The client sends or reads less than `--min-rate`, and others wait.
    ClientSlow,
}

/// The answer to a request that would become one tunnel too many.
pub const TUNNELS_FULL: Answer = Answer::local(
    503,
    "all tunnels (WebSockets and other upgrades) are in use; please try again later",
    ProxyError::Limit,
);

const CLIENT_SLOW: &str = "the client was slower than --min-rate while others waited";

/// The reason of a 408.
pub const BODY_LATE: &str = "the rest of the request did not come in time";

impl Fault {
    /// How an exchange that it cut off ended, for the log.
    pub fn outcome(self) -> Outcome {
        match self {
            Fault::UpstreamClosed => Outcome::ServerClosed,
            Fault::UpstreamMalformed(_) | Fault::NotHttp(_) => Outcome::ServerMalformed,
            Fault::Expired => Outcome::TimedOut,
            Fault::ClientSlow => Outcome::ClientSlow,
            Fault::ClientGone
            | Fault::ClientMalformed(_)
            | Fault::ConnectFailed(_)
            | Fault::ServerHangs
            | Fault::TunnelsFull => Outcome::ClientGone,
        }
    }

    /// Whether healthy servers have it too: they close pooled connections. Sending a request again
    /// because of that adds to no trouble, and there is at most one such connection in its life.
    pub fn is_usual(self, origin: Origin) -> bool {
        origin == Origin::Pooled && self == Fault::UpstreamClosed
    }

    /// Why a request is sent again because of it, for the counters. `connecting`: the connection was
    /// not established.
    pub fn retry_reason(self, connecting: bool) -> RetryReason {
        match self {
            Fault::ConnectFailed(fault) if fault.is_timeout() => RetryReason::ConnectTimeout,
            Fault::ConnectFailed(_) => RetryReason::Connect,
            Fault::Expired if connecting => RetryReason::ConnectTimeout,
            Fault::Expired => RetryReason::Timeout,
            Fault::UpstreamClosed | Fault::ClientGone | Fault::ClientSlow | Fault::TunnelsFull => {
                RetryReason::Closed
            }
            Fault::UpstreamMalformed(_) | Fault::NotHttp(_) | Fault::ClientMalformed(_) => {
                RetryReason::Malformed
            }
            Fault::ServerHangs => RetryReason::Silent,
        }
    }

    /// What was wrong with a message, for the log; empty where none was.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::ClientMalformed(refusal) => refusal.reason,
            Fault::ClientSlow => CLIENT_SLOW,
            Fault::UpstreamMalformed(reason) | Fault::NotHttp(reason) => reason,
            Fault::ClientGone
            | Fault::ConnectFailed(_)
            | Fault::UpstreamClosed
            | Fault::Expired
            | Fault::ServerHangs
            | Fault::TunnelsFull => "",
        }
    }
}

/// What is known about a pair.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub request: Phase,
    pub response: Phase,
    /// The connection to the server is not established.
    pub connecting: bool,
    /// A byte of the request was written to this connection.
    pub sent: bool,
    /// A byte of the answer has come.
    pub answered: bool,
    /// The request is still held whole.
    pub held: bool,
    pub idempotent: bool,
    /// The exchange waits for the client: for request bytes, or for room for response bytes.
    pub waiting_on_client: bool,
    /// A further attempt is within the limit and the budget.
    pub attempts_left: bool,
}

impl Facts {
    /// A wait that lasted too long was for the server. A tunnel in which nothing moves waits for
    /// neither side, and after its response nothing more of the server is waited for.
    pub fn is_waiting_for_server(&self) -> bool {
        match self.response {
            Phase::Head | Phase::Body => !self.waiting_on_client,
            Phase::Tunnel | Phase::Done => false,
        }
    }
}

/// What a server does with the rest of a request that it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It reads on.
    Taken,
    /// It has closed, or sends what belongs to no response.
    Refused,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Wait for more.
    Park,
    /// Both messages are complete.
    Finish,
    /// The response is complete, the request will not be: neither connection is used again.
    FinishEarly,
    /// Try another server.
    Retry,
    /// Answer in the server's stead.
    Reply(Answer),
    /// Cut both connections.
    Abort,
}

/// The decision when something went wrong.
pub fn verdict(facts: &Facts, fault: Fault) -> Verdict {
    match fault {
        // What is left is an upload that one side does not want any more: the response stands, also
        // for a client that has ended its side and reads.
        _ if facts.response == Phase::Done && facts.request == Phase::Body => Verdict::FinishEarly,
        // All of the request was on its way to a server that has answered.
        Fault::UpstreamClosed | Fault::Expired
            if (facts.request, facts.response) == (Phase::Done, Phase::Done) =>
        {
            Verdict::Finish
        }
        Fault::ClientGone => Verdict::Abort,
        Fault::ClientMalformed(refusal) => answer_or_abort(facts, refusal.into()),
        Fault::ConnectFailed(_) => Verdict::Retry,
        Fault::UpstreamClosed => {
            let reason = "the server closed without an answer";
            let answer = Answer::local(502, reason, ProxyError::Terminated);
            retry_or(facts, || answer_or_abort(facts, answer))
        }
        Fault::UpstreamMalformed(reason) => {
            answer_or_abort(facts, Answer::local(502, reason, ProxyError::Protocol))
        }
        Fault::NotHttp(reason) => {
            let answer = Answer::local(502, reason, ProxyError::Protocol);
            retry_or(facts, || answer_or_abort(facts, answer))
        }
        Fault::Expired => expired(facts),
        Fault::ServerHangs => retry_or(facts, || Verdict::Park),
        Fault::TunnelsFull => answer_or_abort(facts, TUNNELS_FULL),
        Fault::ClientSlow => {
            answer_or_abort(facts, Answer::local(408, CLIENT_SLOW, ProxyError::Request))
        }
    }
}

/// The decision when nothing went wrong. A response may be complete before its request: the request
/// goes on for as long as the server takes the `rest` of it.
pub fn settled(request: Phase, response: Phase, rest: Rest) -> Verdict {
    match (request, response) {
        (Phase::Done, Phase::Done) => Verdict::Finish,
        (Phase::Body, Phase::Done) if rest == Rest::Taken => Verdict::Park,
        (Phase::Head | Phase::Body, Phase::Done) => Verdict::FinishEarly,
        (Phase::Tunnel, Phase::Done) | (Phase::Done, Phase::Tunnel) => Verdict::Park,
        (_, Phase::Head | Phase::Body | Phase::Tunnel) => Verdict::Park,
    }
}

fn retry_or(facts: &Facts, otherwise: impl Fn() -> Verdict) -> Verdict {
    // Bytes that were let go of cannot be sent again, even if none of them was written.
    let may = facts.held && (!facts.sent || (facts.idempotent && facts.attempts_left));
    match facts.response {
        Phase::Head if !facts.answered && may => Verdict::Retry,
        Phase::Head | Phase::Body | Phase::Tunnel | Phase::Done => otherwise(),
    }
}

fn answer_or_abort(facts: &Facts, answer: Answer) -> Verdict {
    match facts.response {
        Phase::Head => Verdict::Reply(answer),
        Phase::Body | Phase::Tunnel | Phase::Done => Verdict::Abort,
    }
}

fn expired(facts: &Facts) -> Verdict {
    if facts.connecting {
        return Verdict::Retry;
    }
    let answer = if facts.waiting_on_client {
        Answer::local(408, BODY_LATE, ProxyError::Request)
    } else {
        Answer::local(504, "the server did not answer in time", ProxyError::Timeout)
    };
    answer_or_abort(facts, answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunked::ChunkedFault;
    use crate::http::framing;

    const WAITING: Facts = Facts {
        request: Phase::Done,
        response: Phase::Head,
        connecting: false,
        sent: true,
        answered: false,
        held: true,
        idempotent: true,
        waiting_on_client: false,
        attempts_left: true,
    };

    fn status(verdict: Verdict) -> u16 {
        match verdict {
            Verdict::Reply(answer) => answer.status,
            other => panic!("{other:?} is no reply"),
        }
    }

    #[test]
    fn a_request_is_repeated_only_when_it_may_be() {
        let closed = Fault::UpstreamClosed;
        let post = Facts { idempotent: false, ..WAITING };
        for (name, facts, repeated) in [
            ("idempotent, held, unanswered", WAITING, true),
            ("nothing sent, whatever it is", Facts { sent: false, ..post }, true),
            ("nothing sent, but let go of", Facts { sent: false, held: false, ..WAITING }, false),
            ("not idempotent", post, false),
            ("no longer held", Facts { held: false, ..WAITING }, false),
            ("a byte of an answer came", Facts { answered: true, ..WAITING }, false),
            (
                "answered before anything was sent",
                Facts { answered: true, sent: false, ..WAITING },
                false,
            ),
            ("no attempt left", Facts { attempts_left: false, ..WAITING }, false),
        ] {
            assert_eq!(verdict(&facts, closed) == Verdict::Retry, repeated, "{name}");
        }
        assert_eq!(status(verdict(&post, closed)), 502);
        let garbage = Fault::NotHttp("x");
        assert_eq!(verdict(&WAITING, garbage), Verdict::Retry);
        assert_eq!(status(verdict(&post, garbage)), 502);
        assert_eq!(status(verdict(&WAITING, Fault::UpstreamMalformed("x"))), 502);
    }

    #[test]
    fn a_hanging_server_loses_only_what_can_be_asked_elsewhere() {
        let hangs = Fault::ServerHangs;
        assert_eq!(verdict(&WAITING, hangs), Verdict::Retry);
        for facts in [
            Facts { idempotent: false, ..WAITING },
            Facts { response: Phase::Body, answered: true, ..WAITING },
            Facts { attempts_left: false, ..WAITING },
        ] {
            assert_eq!(verdict(&facts, hangs), Verdict::Park);
        }
    }

    #[test]
    fn a_response_that_began_is_cut_not_replaced() {
        let begun = Facts { response: Phase::Body, answered: true, ..WAITING };
        for fault in [
            Fault::UpstreamClosed,
            Fault::UpstreamMalformed("x"),
            Fault::Expired,
            Fault::ClientGone,
            Fault::ClientMalformed(framing::request_body(ChunkedFault::Malformed)),
        ] {
            assert_eq!(verdict(&begun, fault), Verdict::Abort, "{fault:?}");
        }
    }

    #[test]
    fn who_is_waited_for_decides_the_status() {
        let expired = Fault::Expired;
        assert_eq!(status(verdict(&WAITING, expired)), 504);
        assert_eq!(status(verdict(&Facts { waiting_on_client: true, ..WAITING }, expired)), 408);
        assert_eq!(verdict(&Facts { connecting: true, ..WAITING }, expired), Verdict::Retry);
    }

    #[test]
    fn a_complete_response_stands_whatever_becomes_of_the_rest_of_the_request() {
        let answered = Facts { request: Phase::Body, response: Phase::Done, ..WAITING };
        for fault in [
            Fault::UpstreamClosed,
            Fault::UpstreamMalformed("x"),
            Fault::Expired,
            Fault::ClientMalformed(framing::request_body(ChunkedFault::Malformed)),
            Fault::ClientGone,
        ] {
            assert_eq!(verdict(&answered, fault), Verdict::FinishEarly, "{fault:?}");
        }
        assert!(!answered.is_waiting_for_server(), "it has answered");
        // The client has sent all of it, and the server does not take the end.
        let sent_whole = Facts { request: Phase::Done, ..answered };
        for fault in [Fault::UpstreamClosed, Fault::Expired] {
            assert_eq!(verdict(&sent_whole, fault), Verdict::Finish, "{fault:?}");
        }
    }

    #[test]
    fn without_trouble_only_completion_ends_it() {
        use Phase::{Body, Done, Head, Tunnel};
        assert_eq!(settled(Body, Done, Rest::Taken), Verdict::Park, "the upload goes on");
        for (request, response, expected) in [
            (Done, Done, Verdict::Finish),
            (Body, Done, Verdict::FinishEarly),
            (Head, Head, Verdict::Park),
            (Done, Head, Verdict::Park),
            (Done, Body, Verdict::Park),
            (Tunnel, Tunnel, Verdict::Park),
            (Done, Tunnel, Verdict::Park),
            (Tunnel, Done, Verdict::Park),
        ] {
            let verdict = settled(request, response, Rest::Refused);
            assert_eq!(verdict, expected, "{request:?} {response:?}");
        }
    }
}
