//! Getting an upstream for a request: the backend the policy picks, and a connection to it, pooled
//! or new.

use super::Upstreams;
use super::addresses::ConnectFailure;
use super::connection::{Upstream, UpstreamState};
use super::sessions::SessionBackend;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::Mode;
use crate::http::keep_alive::KeepAlive;
use crate::net::{self, Net};
use crate::observe::access::RequestNotes;
use crate::proxy::conn::Conn;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{OwnUpstream, PairKey, UpstreamKey};
use crate::proxy::retry::Tried;
use std::io;
use std::num::NonZeroU64;
use std::rc::Rc;

/// An upstream for a request, counted as in flight with its backend.
#[derive(Clone, Copy, Debug)]
pub struct Acquired {
    pub upstream: UpstreamKey,
    pub backend: BackendId,
}

/// Why there is no upstream for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No backend is left to try.
    NoBackend,
    /// Those that are up are at their connection limits.
    AllFull,
    /// This machine has no descriptor or port left.
    NoDescriptor,
    /// The one that its cookie names is at its connection limit.
    SessionFull(BackendId),
}

/// What a request wants of its upstream.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// What the hash strategies choose by.
    pub hash: u64,
    pub reuse: Reuse,
    /// The backend that its cookie names.
    pub session: Option<NonZeroU64>,
}

/// Which connections a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// A pooled one where there is one.
    Pooled,
    /// A pooled one if that is as safe as a new one: it may close under a request that cannot be
    /// repeated.
    IfSafe,
    /// A new one.
    Never,
}

impl<N: Net> Upstreams<N> {
    /// An upstream for `pair` to the backend the policy picks. Tries one backend after the other as
    /// long as connecting fails at once.
    pub fn acquire(
        &mut self,
        cx: &mut LoopContext<N>,
        pair: PairKey,
        tried: &mut Tried,
        wanted: Wanted,
        notes: &mut Option<Box<RequestNotes>>,
    ) -> Result<Acquired, Unavailable> {
        let mut made_room = false;
        loop {
            let of_session = match wanted.session {
                Some(tag) => self.choose_by_session(cx, tried, tag, notes)?,
                None => None,
            };
            let chosen = of_session.or_else(|| self.choose(cx, tried, wanted.hash, notes));
            let Some(backend) = chosen else { return Err(self.lacking(cx, tried)) };
            let upstream = self.checkout(cx, backend, pair, wanted.reuse);
            let connected = upstream.map_or_else(|| self.connect(cx, backend, pair), Ok);
            let upstream = match connected {
                Ok(upstream) => upstream,
                Err(error) if net::is_shortage(&error) => {
                    if made_room || !self.drop_idle(cx) {
                        return Err(Unavailable::NoDescriptor);
                    }
                    made_room = true;
                    continue;
                }
                Err(error) => {
                    if let Some(counters) = self.cluster.account(backend).counters() {
                        counters.connect_failed_at_once();
                    }
                    let address = self.cluster.address(backend).clone();
                    match self.connect_failed(cx, backend, &address, error.kind().into()) {
                        ConnectFailure::TryNextAddress => continue,
                        ConnectFailure::AllAddressesFailed(_) => {
                            tried.backends.push(backend);
                            continue;
                        }
                        // An idle connection that may close is better than none.
                        ConnectFailure::NoLocalPort => {
                            let pooled = self.checkout_any(cx, backend, pair);
                            pooled.ok_or(Unavailable::NoDescriptor)?
                        }
                    }
                }
            };
            self.count_begun(cx, backend);
            return Ok(Acquired { upstream, backend });
        }
    }

    /// The client's own upstream again, for `pair`; none when it is closed by now.
    ///
    /// Errors: its backend is at its connection limit.
    pub fn resume(
        &mut self,
        cx: &mut LoopContext<N>,
        pair: PairKey,
        own: OwnUpstream,
        notes: &mut Option<Box<RequestNotes>>,
    ) -> Result<Option<Acquired>, Unavailable> {
        let OwnUpstream { upstream: key, backend } = own;
        let Some(upstream) = self.table.get_mut(key) else { return Ok(None) };
        if self.cluster.is_full(backend) {
            return Err(Unavailable::AllFull);
        }
        if !upstream.conn.is_idle() && !upstream.is_still_idle(&mut cx.pool) {
            self.learn_from_idle(cx, key);
            self.close(cx, key);
            return Ok(None);
        }
        upstream.begin(pair);
        if let Some(notes) = notes.as_deref_mut() {
            notes.backend(self.cluster.name(backend));
            notes.why(match cx.config.verbose {
                true => "the connection to it is authenticated for this client",
                false => "own_connection",
            });
        }
        self.count_begun(cx, backend);
        Ok(Some(Acquired { upstream: key, backend }))
    }

    /// The backend for a request that is answered with its address: nothing stays in flight, but
    /// turns and requests are counted.
    pub fn redirect(
        &mut self,
        cx: &mut LoopContext<N>,
        hash: u64,
        notes: &mut Option<Box<RequestNotes>>,
    ) -> Result<BackendId, Unavailable> {
        let Some(backend) = self.cluster.pick(&[], hash, cx.now.instant) else {
            let full = self.cluster.has_full(&[]);
            return Err(if full { Unavailable::AllFull } else { Unavailable::NoBackend });
        };
        if let Some(notes) = notes.as_deref_mut() {
            self.note_choice(cx, notes, backend, &[], hash);
        }
        if let Some(counters) = self.cluster.account(backend).counters() {
            counters.redirected(cx.time.second);
        }
        let probes_are_due = self.cluster.began(backend);
        self.cluster.ended(backend);
        if probes_are_due {
            self.probe_all(cx);
        }
        Ok(backend)
    }

    /// The backend that a cookie names; none if the request cannot go there.
    ///
    /// Errors: it is at its limit, and the request may wait for it.
    #[inline(never)]
    fn choose_by_session(
        &self,
        cx: &LoopContext<N>,
        tried: &Tried,
        tag: NonZeroU64,
        notes: &mut Option<Box<RequestNotes>>,
    ) -> Result<Option<BackendId>, Unavailable> {
        let backend = match self.cluster.session_backend(tag) {
            Some(SessionBackend::Ready(backend)) if !tried.backends.contains(&backend) => backend,
            Some(SessionBackend::Full(backend))
                if !tried.backends.contains(&backend) && !tried.session_over =>
            {
                return Err(Unavailable::SessionFull(backend));
            }
            Some(_) | None => return Ok(None),
        };
        if let Some(notes) = notes.as_deref_mut() {
            notes.backend(self.cluster.name(backend));
            notes.why(match cx.config.verbose {
                true => "its cookie names this server",
                false => "sticky",
            });
        }
        Ok(Some(backend))
    }

    /// The backend to try next: never one again while another is eligible; a suspect only when the
    /// others failed the request or none is up, one that is down only when none is up.
    fn choose(
        &mut self,
        cx: &LoopContext<N>,
        tried: &mut Tried,
        hash: u64,
        notes: &mut Option<Box<RequestNotes>>,
    ) -> Option<BackendId> {
        let now = cx.now.instant;
        let mut avoided = &tried.backends[..];
        let mut picked = self.cluster.pick(avoided, hash, now);
        picked = picked.or_else(|| {
            let others_failed = !avoided.is_empty();
            others_failed.then(|| self.cluster.suspect(avoided)).flatten()
        });
        if picked.is_none() && !avoided.is_empty() && self.may_try_again(cx, tried) {
            avoided = &[];
            picked = self.cluster.pick(avoided, hash, now);
        }
        if let (Some(picked), Some(notes)) = (picked, notes.as_mut()) {
            self.note_choice(cx, notes, picked, avoided, hash);
        }
        if picked.is_none() && self.may_resort(cx, tried) {
            picked = self.cluster.last_resort(&tried.backends);
            tried.last_resorts += u8::from(picked.is_some());
            if let (Some(picked), Some(notes)) = (picked, notes.as_mut()) {
                notes.backend(self.cluster.name(picked));
                notes.why(match cx.config.verbose {
                    true => "no server is believed up; this one is the least suspicious",
                    false => "last_resort",
                });
            }
        }
        picked
    }

    /// Whether a backend that failed the request may get it again. Bounded: with backends that come
    /// and go a request would never end otherwise.
    fn may_try_again(&self, cx: &LoopContext<N>, tried: &Tried) -> bool {
        tried.backends.len() < self.cluster.len() + usize::from(cx.config.attempts_max)
    }

    /// Whether the request may go to a backend that is down.
    fn may_resort(&self, cx: &LoopContext<N>, tried: &Tried) -> bool {
        tried.last_resorts < cx.config.attempts_max && !self.cluster.has_usable()
    }

    /// Why no backend was chosen. A request waits only for one that it may be sent to.
    #[cold]
    fn lacking(&self, cx: &LoopContext<N>, tried: &Tried) -> Unavailable {
        let avoided = match self.may_try_again(cx, tried) {
            true => &[],
            false => &tried.backends[..],
        };
        let full = match self.may_resort(cx, tried) {
            true => self.cluster.has_full_last_resort(&tried.backends),
            false => self.cluster.has_full(avoided),
        };
        if full { Unavailable::AllFull } else { Unavailable::NoBackend }
    }

    /// Notes the backend chosen, and why: in words for `-v` alone, as that takes a look at every
    /// backend.
    fn note_choice(
        &self,
        cx: &LoopContext<N>,
        notes: &mut RequestNotes,
        backend: BackendId,
        avoided: &[BackendId],
        hash: u64,
    ) {
        notes.backend(self.cluster.name(backend));
        match cx.config.verbose {
            true => notes.why(&self.cluster.explain(backend, avoided, hash, cx.now.instant)),
            false => notes.why(cx.config.strategy.name()),
        }
    }

    /// One more pair with this backend; every so many requests all backends are probed (`-R`).
    fn count_begun(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if self.cluster.began(backend) {
            self.probe_all(cx);
        }
    }

    /// The most recently used idle connection of this backend on which nothing has come since, if
    /// the request may use it; the others have been idle for longer.
    #[inline]
    fn checkout(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        pair: PairKey,
        reuse: Reuse,
    ) -> Option<UpstreamKey> {
        loop {
            let idle = self.cluster.idle(backend);
            let key = idle.last()?;
            let Some(upstream) = self.table.get_mut(key) else {
                idle.pop();
                continue;
            };
            if !upstream.conn.is_idle() && !upstream.is_still_idle(&mut cx.pool) {
                // Unexpected bytes or an end: it is not fit for a request any more.
                idle.pop();
                self.learn_from_idle(cx, key);
                self.close(cx, key);
                continue;
            }
            let (now, since) = (cx.now.instant, upstream.idle_since());
            idle.reuse.kept(since, now);
            let may_use = match reuse {
                Reuse::Pooled => {
                    idle.pop();
                    upstream.begin(pair);
                    return Some(key);
                }
                Reuse::IfSafe => self.is_safe(backend, key, now),
                Reuse::Never => false,
            };
            if !may_use {
                return None;
            }
            self.cluster.idle(backend).pop();
            let upstream = self.table.get_mut(key).expect("it was there a moment ago");
            upstream.begin(pair);
            return Some(key);
        }
    }

    #[cold]
    fn checkout_any(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        pair: PairKey,
    ) -> Option<UpstreamKey> {
        self.checkout(cx, backend, pair, Reuse::Pooled)
    }

    /// Whether an idle connection is as safe as a new one, by what its server is known to do.
    fn is_safe(&mut self, backend: BackendId, key: UpstreamKey, now: Instant) -> bool {
        let open = |key: &UpstreamKey| self.table.get(*key).filter(|it| it.conn.is_idle());
        let Some(upstream) = open(&key) else { return false };
        let (since, idle) = (upstream.idle_since(), self.cluster.idle(backend));
        if idle.reuse.lacks_evidence(since, now) {
            // Those that are used rarely have been idle for longer.
            let oldest = idle.keys().iter().find_map(open).map(Upstream::idle_since);
            idle.reuse.kept(oldest.unwrap_or(since), now);
        }
        idle.reuse.is_safe(since, &upstream.keep_alive, now)
    }

    #[inline(never)]
    fn connect(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        pair: PairKey,
    ) -> io::Result<UpstreamKey> {
        let address = self.cluster.address(backend).clone();
        let mut conn =
            Conn::connecting(cx.net.connect(&address, self.cluster.tls(backend).map(Rc::as_ref))?);
        if cx.config.mode == Mode::Tcp {
            conn.enable_keep_alive();
        }
        let key = self.table.vacant_key();
        conn.register(&mut cx.net, key.into())?;
        let inserted = self.table.insert(Upstream {
            conn,
            pipe_up: None,
            pipe_down: None,
            state: UpstreamState::Connecting(pair),
            is_authenticated: false,
            address,
            tls: self.cluster.tls(backend).cloned(),
            failure: None,
            ended_at: None,
            served: 0,
            keep_alive: KeepAlive::default(),
            timer: Timer::new(),
            scheduled: false,
        });
        assert!(inserted == key, "the key that was registered is the entry's");
        if let Some(counters) = self.cluster.account(backend).counters() {
            counters.connecting();
        }
        Ok(key)
    }
}
