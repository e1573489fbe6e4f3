//! Files of `--acme-webroot`: a request for one waits while the file is read elsewhere, as a read
//! may block.

use super::conclude::Extra;
use super::{Client, Exchanges};
use crate::http::challenge;
use crate::net::Net;
use crate::observe::{ProxyError, Record};
use crate::proxy::client::answer::Answer;
use crate::proxy::client::challenges::{ChallengeFile, Ticket};
use crate::proxy::client::listener::Security;
use crate::proxy::client::plan::{Intent, Plan};
use crate::proxy::client::request::RequestState;
use crate::proxy::kinds::{ClientKey, Next};
use std::time::Duration;

/// How long a file may take: authorities wait for about ten seconds.
const READ_MAX: Duration = Duration::from_secs(10);

const NOT_THERE: Answer =
    Answer::local(404, "there is no such challenge here", ProxyError::InternalResponse);
const UNREADABLE: Answer =
    Answer::local(500, "the file of the challenge cannot be read", ProxyError::Internal);
const TOO_SLOW: Answer =
    Answer::local(503, "the file of the challenge could not be read in time", ProxyError::Internal);

impl<N: Net> Exchanges<N> {
    /// Whether a request is for a file of `--acme-webroot`.
    #[inline]
    pub(super) fn asks_for_challenge(&mut self, key: ClientKey, client: Client<'_, N>) -> bool {
        self.context.config.acme_webroot.is_some() && self.names_challenge(key, client)
    }

    #[cold]
    fn names_challenge(&mut self, key: ClientKey, client: Client<'_, N>) -> bool {
        let bytes = client.conn.buffers.inbox.data();
        let head = self.heads.recall(key, bytes);
        client.settings().security == Security::Plain
            && head.method.is_get_or_head()
            && challenge::token(head.target.of(bytes)).is_some()
    }

    /// Has the file read.
    #[cold]
    pub(super) fn begin_challenge(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        let bytes = client.conn.buffers.inbox.data();
        let target = self.heads.recall(key, bytes).target.of(bytes);
        let Some(token) = challenge::token(target) else { return Next::Gone };
        let ticket = self.challenges.enqueue(key, token.to_owned());
        let deadline = self.context.now.instant + READ_MAX;
        client.request.wait(RequestState::AwaitingFile(ticket), deadline);
        Next::Park
    }

    /// While it is read, only a reset is listened for.
    pub(super) fn await_file(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        if client.conn.has_failed() { self.abandon(key, client) } else { Next::Park }
    }

    /// The file was read, or cannot be.
    #[cold]
    pub fn answer_challenge(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        file: &ChallengeFile,
    ) -> Next {
        match file {
            ChallengeFile::Read(content) => {
                let answer = Answer::local(200, "", ProxyError::InternalResponse);
                self.answer_for_challenge(key, client, answer, Some(content))
            }
            ChallengeFile::Missing => self.answer_for_challenge(key, client, NOT_THERE, None),
            ChallengeFile::Unreadable => self.answer_for_challenge(key, client, UNREADABLE, None),
        }
    }

    /// Reading it takes too long.
    #[cold]
    pub(super) fn expire_challenge(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        ticket: Ticket,
    ) -> Next {
        self.challenges.leave(ticket);
        self.answer_for_challenge(key, client, TOO_SLOW, None)
    }

    fn answer_for_challenge(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        answer: Answer,
        content: Option<&[u8]>,
    ) -> Next {
        let plan: Plan = match client.intent(&self.context, &mut self.heads, key) {
            Ok(Intent::Message(plan)) => plan,
            Ok(Intent::Session { .. }) => return Next::Gone,
            Err(refusal) => return self.refuse_head(key, client, refusal.into()),
        };
        let record = self.record_of_challenge(key, client);
        match content {
            Some(content) => self.answer_with(client, &plan, answer, Extra::File(content), record),
            None => self.answer(client, Some(&plan), answer, record),
        }
    }

    /// It never waited for a slot.
    pub(super) fn record_of_challenge(&mut self, key: ClientKey, client: Client<'_, N>) -> Record {
        let record = client.record(&mut self.context, &mut self.heads, key);
        let Record { arrived, .. } = record;
        Record { ready: arrived, admitted: arrived, ..record }
    }
}
