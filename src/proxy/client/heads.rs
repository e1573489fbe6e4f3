//! Storage for the head of one request, shared by all clients. A request is mostly forwarded in the
//! step that parsed it; one that had to wait is parsed again, which is cheaper than keeping the
//! places of its fields.

use super::plan;
use crate::base::table::Id;
use crate::config::HeadLimits;
use crate::http::field::{Coding, Length};
use crate::http::head::{self, Parse, RequestHead};

/// The last request head that was parsed.
#[derive(Debug, Default)]
pub struct Heads {
    head: RequestHead,
    /// Whose head it is.
    client: Option<Id>,
    limits: HeadLimits,
}

impl Heads {
    /// Storage for heads that are held to `limits`.
    pub fn new(limits: HeadLimits) -> Heads {
        Heads { limits, ..Heads::default() }
    }

    /// Parses the head at the start of `bytes`, what `client` has sent.
    pub fn parse(&mut self, client: impl Into<Id>, bytes: &[u8]) -> Parse {
        let parse = head::request(bytes, &mut self.head);
        let parse = plan::within(&self.limits, parse, bytes, &self.head);
        self.client = (parse == Parse::Complete).then(|| client.into());
        parse
    }

    /// Whether the head that was parsed last says anything about a body.
    #[inline]
    pub fn last_frames_body(&self) -> bool {
        let fields = &self.head.fields;
        fields.length != Length::Absent || fields.coding != Coding::Absent
    }

    /// The head at the start of `bytes`, if it is complete: as parsed last, or parsed again.
    pub fn find(&mut self, client: impl Into<Id>, bytes: &[u8]) -> Option<&RequestHead> {
        let client = client.into();
        let complete = self.client == Some(client) || self.parse(client, bytes) == Parse::Complete;
        complete.then_some(&self.head)
    }

    /// The head at the start of `bytes`, which was accepted before.
    pub fn recall(&mut self, client: impl Into<Id>, bytes: &[u8]) -> &RequestHead {
        self.find(client, bytes).expect("a head that was accepted is complete")
    }
}
