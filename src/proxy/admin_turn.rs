//! The admin listener's part in a turn of the loop.

use super::Proxy;
use super::admin::{Admin, Surroundings};
use super::client::listener::ListenerSettings;
use super::kinds::AdminKey;
use crate::base::time::Instant;
use crate::net::Net;
use std::io;

impl<N: Net> Proxy<N> {
    /// Accepts questions about this program from `listener`.
    pub(super) fn listen_admin(
        &mut self,
        listener: N::Listener,
        settings: ListenerSettings,
    ) -> io::Result<()> {
        let admin = self.admin.get_or_insert_with(|| Box::new(Admin::new()));
        admin.acceptor().listen(&mut self.exchanges.context.net, listener, settings)
    }

    pub(super) fn step_admin(&mut self, key: AdminKey) {
        let Some(admin) = &mut self.admin else { return };
        let surroundings = Surroundings { clients: self.clients.len(), acceptor: &self.acceptor };
        admin.step(&mut self.exchanges, &surroundings, key);
    }

    #[inline]
    pub(super) fn accept_admin(&mut self) {
        if let Some(admin) = self.admin.as_mut().filter(|admin| admin.is_approached()) {
            admin.accept(&mut self.exchanges);
        }
    }

    /// When to look at the admin listener again: now, if a connection may wait there.
    #[inline]
    pub(super) fn admin_due(&self) -> Option<Instant> {
        let admin = self.admin.as_ref().filter(|admin| admin.is_approached())?;
        let now = self.exchanges.context.now.instant;
        if admin.can_accept(now) { Some(now) } else { admin.paused_until() }
    }
}
