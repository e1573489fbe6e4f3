//! Answers that send a client elsewhere: to a server (`-m redirect`), or to https
//! (`--redirect-http`).

use super::conclude::{Extra, Location};
use super::{Client, Exchanges};
use crate::net::Net;
use crate::observe::{ProxyError, Record};
use crate::proxy::client::answer::Answer;
use crate::proxy::client::plan::{Intent, Plan};
use crate::proxy::kinds::{ClientKey, Next};

impl<N: Net> Exchanges<N> {
    /// Answers with the chosen server's address: nothing is proxied, no slot is taken.
    pub(super) fn redirect(&mut self, key: ClientKey, client: Client<'_, N>, plan: &Plan) -> Next {
        let mut record = client.record(&mut self.context, &mut self.heads, key);
        let chosen = self.upstreams.redirect(&mut self.context, plan.hash, &mut record.notes);
        let backend = match chosen {
            Ok(backend) => backend,
            Err(unavailable) => {
                let answer = self.unavailable_answer(unavailable);
                return self.answer(client, Some(plan), answer, record);
            }
        };
        let usual = if plan.method.is_get_or_head() { 301 } else { 308 };
        let status = self.context.config.redirect_status.unwrap_or(usual);
        let reason = "another server has what was asked for; its address is in Location";
        let answer = Answer::local(status, reason, ProxyError::InternalResponse);
        let location = Extra::Location(Location::Backend(backend));
        self.answer_with(client, plan, answer, location, record)
    }

    /// Answers with the same request in https: nothing is proxied, no slot is taken.
    #[cold]
    pub(super) fn redirect_to_https(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        port: u16,
    ) -> Next {
        let plan = match client.intent(&self.context, &mut self.heads, key) {
            Ok(Intent::Message(plan)) => plan,
            Ok(Intent::Session { .. }) => return Next::Gone,
            Err(refusal) => return self.refuse_head(key, client, refusal.into()),
        };
        if plan.target.authority.is_none_or(|host| host.is_empty()) {
            let reason = "the request has no Host, so that there is no https to go to";
            let answer = Answer::local(400, reason, ProxyError::Request);
            return self.refuse_head(key, client, answer);
        }
        let record = client.record(&mut self.context, &mut self.heads, key);
        let Record { arrived, .. } = record;
        let record = Record { ready: arrived, admitted: arrived, ..record };
        let reason = "this is served in https only; its address is in Location";
        let answer = Answer::local(308, reason, ProxyError::InternalResponse);
        let location = Extra::Location(Location::Tls { port });
        self.answer_with(client, &plan, answer, location, record)
    }
}
