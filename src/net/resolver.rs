//! Looks names up on threads, as the system's resolver blocks: for 10 s and more per name if no DNS
//! server answers.

use super::{Waker, listen};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Names that are looked up at the same time, so that a few unanswered ones do not delay the
/// others; further names wait.
const THREADS_MAX: usize = 8;

/// How one name is looked up; blocks. The ports of the addresses are 0.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The answer about one name.
#[derive(Debug)]
pub struct Answer {
    pub host: String,
    /// At least one address, the port being 0. Errors: the name is not known, has no address, or
    /// no DNS server answered.
    pub outcome: io::Result<Vec<SocketAddr>>,
}

/// The loop's side. Its threads end when no name waits.
#[derive(Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
    /// Names whose answers have not been taken.
    pending: HashSet<String>,
    answers: Receiver<Answer>,
}

struct Shared {
    queue: Mutex<Queue>,
    answers: Sender<Answer>,
    waker: Waker,
    look_up: Box<LookUp>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared").field("queue", &self.queue).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Queue {
    names: VecDeque<String>,
    threads: usize,
}

impl Resolver {
    /// Asks the system; `waker` wakes the loop after each answer.
    pub fn new(waker: Waker) -> Resolver {
        Resolver::by(waker, |host| listen::resolve(host, 0))
    }

    /// Asks `look_up`, which may block.
    pub fn by(
        waker: Waker,
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Resolver {
        let (sender, answers) = channel();
        let (queue, look_up) = (Mutex::default(), Box::new(look_up));
        let shared = Arc::new(Shared { queue, answers: sender, waker, look_up });
        Resolver { shared, pending: HashSet::new(), answers }
    }

    /// Looks a name up, unless that is being done already.
    pub fn look_up(&mut self, host: &str) {
        if !self.pending.insert(host.to_owned()) {
            return;
        }
        let mut queue = self.shared.lock();
        queue.names.push_back(host.to_owned());
        if queue.threads == THREADS_MAX {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let work = move || shared.answer_all();
        match std::thread::Builder::new().name(String::from("resolver")).spawn(work) {
            Ok(_) => queue.threads += 1,
            // The threads there are will look it up.
            Err(_) if queue.threads > 0 => {}
            Err(error) => {
                queue.names.pop_back();
                let answer = Answer { host: host.to_owned(), outcome: Err(error) };
                // It cannot fail, as the other end is ours.
                let _ = self.shared.answers.send(answer);
                let _ = self.shared.waker.wake();
            }
        }
    }

    /// The next answer, if there is one.
    pub fn take_answer(&mut self) -> Option<Answer> {
        let answer = self.answers.try_recv().ok()?;
        self.pending.remove(&answer.host);
        Some(answer)
    }

    /// Waits for `timeout` at most until every name is answered.
    pub fn wait_for_answers(&mut self, timeout: Duration) -> Vec<Answer> {
        let deadline = Instant::now() + timeout;
        let mut answers = Vec::new();
        while !self.pending.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(answer) = self.answers.recv_timeout(left) else { break };
            self.pending.remove(&answer.host);
            answers.push(answer);
        }
        answers
    }

    /// Whether any name is being looked up.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether this name is being looked up.
    pub fn is_pending(&self, host: &str) -> bool {
        self.pending.contains(host)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread: it ends when no name waits.
    fn answer_all(&self) {
        loop {
            let mut queue = self.lock();
            let Some(host) = queue.names.pop_front() else {
                queue.threads -= 1;
                return;
            };
            drop(queue);
            let outcome = (self.look_up)(&host).and_then(|addresses| match addresses.is_empty() {
                true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
                false => Ok(addresses),
            });
            // The answer is sent before the wake-up, so that the loop finds it. Both fail only if
            // the answer is no longer wanted.
            let _ = self.answers.send(Answer { host, outcome });
            let _ = self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    fn resolver(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> (mio::Poll, Resolver) {
        let poll = mio::Poll::new().expect("a poll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        (poll, Resolver::by(Arc::new(waker), look_up))
    }

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    /// Longer than any answer takes.
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_name_that_is_not_answered_does_not_delay_the_others() {
        let barrier = Arc::new(Barrier::new(2));
        let held = Arc::clone(&barrier);
        let (mut poll, mut resolver) = resolver(move |host| {
            if host == "slow" {
                held.wait();
            }
            Ok(vec![address()])
        });
        resolver.look_up("slow");
        for host in ["a", "b"] {
            resolver.look_up(host);
            let mut events = mio::Events::with_capacity(1);
            poll.poll(&mut events, Some(LONG)).expect("a wait that works");
            assert!(!events.is_empty(), "the loop is woken");
            assert_eq!(resolver.take_answer().expect("an answer").host, host);
        }
        assert!(resolver.is_pending("slow"));
        assert!(resolver.wait_for_answers(Duration::from_millis(1)).is_empty());
        // Asked for twice, answered once.
        resolver.look_up("slow");
        barrier.wait();
        assert_eq!(resolver.wait_for_answers(LONG).len(), 1);
        assert!(!resolver.is_pending("slow"));
    }

    #[test]
    fn more_names_than_threads_are_all_answered() {
        let (_poll, mut resolver) = resolver(|host| match host.len() {
            1 => Ok(vec![address()]),
            2 => Ok(Vec::new()),
            _ => Err(io::ErrorKind::TimedOut.into()),
        });
        let names: Vec<String> = (1..=3 * THREADS_MAX).map(|count| "x".repeat(count)).collect();
        names.iter().for_each(|name| resolver.look_up(name));
        let mut answers = resolver.wait_for_answers(LONG);
        answers.sort_by_key(|answer| answer.host.len());
        let hosts: Vec<&String> = answers.iter().map(|answer| &answer.host).collect();
        assert_eq!(hosts, names.iter().collect::<Vec<_>>());
        let kinds = answers.iter().map(|answer| answer.outcome.as_ref().map_err(io::Error::kind));
        let kinds: Vec<_> = kinds.take(3).collect();
        let expected =
            [Ok(&vec![address()]), Err(io::ErrorKind::NotFound), Err(io::ErrorKind::TimedOut)];
        assert_eq!(kinds, expected);
    }
}
