//! `Net` and `Socket` over the simulated kernel: every call may first let the world move on.

use super::crowd;
use super::kernel::{Carried, Dice, LISTENER, Link, ListenerId};
use super::sites;
use super::world::World;
use loadbalancer::base::address::Address;
use loadbalancer::base::table::Id;
use loadbalancer::base::time::Instant;
use loadbalancer::config::TlsServer;
use loadbalancer::net::{Handshake, Net, Now, Ready, Secured, Signal, Sink, Socket};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Most bytes a pipe takes at once.
const PIPE_BYTES: usize = 64 * 1024;

/// Turns without any time passing between them that are taken for a busy loop.
const BUSY_MAX: u32 = 20_000;

#[derive(Debug, Clone)]
pub struct SimNet {
    pub world: Rc<RefCell<World>>,
}

#[derive(Debug)]
pub struct SimSocket {
    world: Rc<RefCell<World>>,
    link: usize,
}

#[derive(Debug)]
pub struct SimListener {
    world: Rc<RefCell<World>>,
    at: ListenerId,
}

impl SimListener {
    pub fn new(world: &Rc<RefCell<World>>, at: ListenerId) -> SimListener {
        SimListener { world: Rc::clone(world), at }
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.close_listener(self.at);
        }
    }
}

impl SimSocket {
    fn carried(&self) -> Carried {
        self.world.borrow().kernel.links[self.link].carried
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.kernel.close(self.link);
        }
    }
}

impl Socket for SimSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().read(self.link, into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().write(self.link, from)
    }

    fn write_clear(&mut self, from: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().interleave().write_clear(self.link, from)
    }

    fn is_secured(&self) -> bool {
        self.carried() != Carried::Content
    }

    fn handshake(&mut self) -> io::Result<Handshake> {
        let mut world = self.world.borrow_mut();
        let outcome = world.interleave().handshake(self.link)?;
        if outcome == Handshake::Complete {
            let World { kernel, oracle, .. } = &mut *world;
            crowd::decide(self.link, kernel, oracle);
        }
        Ok(outcome)
    }

    fn handshake_bytes(&self) -> u64 {
        match &self.world.borrow().kernel.links[self.link] {
            Link { shaking: Some(shaking), .. } => shaking.read_bytes,
            // It is complete with its first ones.
            Link { carried, .. } => u64::from(*carried != Carried::Handshake),
        }
    }

    fn secured(&self) -> Option<Secured<'_>> {
        let is_complete = self.carried() == Carried::Secured;
        is_complete.then_some(Secured {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            is_resumed: false,
            server_name: None,
            subject: None,
        })
    }

    fn connected(&mut self) -> io::Result<bool> {
        self.world.borrow_mut().interleave().connected(self.link)
    }

    fn fault(&mut self) -> Option<io::Error> {
        self.world.borrow_mut().interleave().fault(self.link).map(io::Error::from)
    }

    fn end_output(&mut self) -> io::Result<()> {
        self.world.borrow_mut().interleave().end_output(self.link)
    }

    fn can_splice(&self) -> bool {
        self.carried() == Carried::Content
    }

    type Pipe = VecDeque<u8>;

    fn pipe() -> io::Result<VecDeque<u8>> {
        Ok(VecDeque::new())
    }

    fn read_into(&mut self, pipe: &mut VecDeque<u8>, max: usize) -> io::Result<usize> {
        assert!(pipe.is_empty(), "a piece goes on whole before the next is taken");
        assert!(self.can_splice(), "what is secured is read");
        let mut world = self.world.borrow_mut();
        // Pipes count in pieces: a short move says nothing of what is left.
        let most = world.kernel.rng.between(1, PIPE_BYTES as u64) as usize;
        let mut bytes = vec![0; max.min(most)];
        let count = world.read(self.link, &mut bytes)?;
        pipe.extend(&bytes[..count]);
        world.kernel.piped += count as u64;
        Ok(count)
    }

    fn send_room(&self) -> usize {
        self.world.borrow().kernel.links[self.link].to_peer.room()
    }

    fn write_from(&mut self, pipe: &mut VecDeque<u8>, count: usize) -> io::Result<usize> {
        assert_eq!(count, pipe.len(), "what is in a pipe is known");
        assert!(self.can_splice(), "what is secured is written");
        let written = self.world.borrow_mut().write(self.link, pipe.make_contiguous())?;
        pipe.drain(..written);
        Ok(written)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        Some(LISTENER.into())
    }

    fn bytes_moved(&self) -> Option<u64> {
        Some(self.world.borrow().kernel.links[self.link].moved)
    }

    fn reset_on_drop(&mut self) {
        self.world.borrow_mut().kernel.reset_on_drop(self.link);
    }
}

impl Net for SimNet {
    type Socket = SimSocket;
    type Listener = SimListener;

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.kernel.turn += 1;
        // Time moves, whatever the turn did. After a long turn much is ready at once.
        let longest = world.kernel.style.turn_max;
        let worked = 1 + world.kernel.rng.below(longest);
        world.kernel.now += worked;
        let deadline = timeout.map(|span| world.kernel.now + span.as_micros() as u64);
        world.busy = if timeout == Some(Duration::ZERO) { world.busy + 1 } else { 0 };
        assert!(world.busy < BUSY_MAX, "the loop turns without waiting");
        world.jump();
        loop {
            world.run_due();
            if world.kernel.deliver(ready) || timeout == Some(Duration::ZERO) {
                return Ok(());
            }
            let next = world.kernel.next_at();
            if next.is_none() {
                world.look_for_stall();
            }
            let until = match (next, deadline) {
                (Some(next), Some(deadline)) => next.min(deadline),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => {
                    world.sleeps_for_ever = true;
                    return Ok(());
                }
            };
            world.kernel.now = world.kernel.now.max(until);
            if deadline.is_some_and(|deadline| deadline <= world.kernel.now) {
                world.run_due();
                world.kernel.deliver(ready);
                return Ok(());
            }
        }
    }

    fn now(&mut self) -> Now {
        let kernel = &mut self.world.borrow_mut().kernel;
        kernel.clock = kernel.now;
        let micros = kernel.now;
        Now { instant: Instant::from_micros(micros), unix_ms: 784_111_777_000 + micros / 1000 }
    }

    fn listen(&mut self, listener: &mut SimListener, id: Id) -> io::Result<()> {
        self.world.borrow_mut().kernel.listeners[listener.at as usize].id = Some(id);
        Ok(())
    }

    fn address(&self, _: &SimListener) -> Option<Address> {
        Some(SocketAddr::from(LISTENER).into())
    }

    fn accept(
        &mut self,
        listener: &mut SimListener,
    ) -> io::Result<(SimSocket, Option<SocketAddr>)> {
        let mut world = self.world.borrow_mut();
        let link = world.interleave().accept(listener.at)?;
        let World { kernel, oracle, .. } = &mut *world;
        crowd::accepted(link, kernel, oracle);
        let peer = kernel.peer_address(link);
        Ok((SimSocket { world: Rc::clone(&self.world), link }, peer))
    }

    fn secure(&mut self, socket: &mut SimSocket, received: &[u8]) -> io::Result<()> {
        assert!(received.is_empty(), "nothing was read before");
        let mut world = self.world.borrow_mut();
        assert!(world.oracle.is_tls, "clients in the clear are not asked for a handshake");
        world.kernel.links[socket.link].carried = Carried::Handshake;
        Ok(())
    }

    fn connect(&mut self, to: &Address, tls: Option<&TlsServer>) -> io::Result<SimSocket> {
        let site = sites::at(to);
        let link = self.world.borrow_mut().connect(site, tls)?;
        Ok(SimSocket { world: Rc::clone(&self.world), link })
    }

    fn register(&mut self, socket: &mut SimSocket, id: Id) -> io::Result<()> {
        self.world.borrow_mut().interleave().register(socket.link, id)
    }

    fn signals(&mut self) -> Vec<Signal> {
        self.world.borrow_mut().kernel.signals()
    }

    fn log(&mut self, sink: Sink, lines: &[u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        if sink == Sink::Record {
            world.record.extend_from_slice(lines);
            return Ok(lines.len());
        }
        let text = String::from_utf8_lossy(lines);
        for line in text.lines() {
            let jumped = world.kernel.jumped;
            let clock = world.kernel.clock;
            world.oracle.note_slow(line, clock);
            world.oracle.beliefs.logged(line, jumped);
            world.kernel.trace(format_args!("log: {line}"));
        }
        Ok(lines.len())
    }
}
