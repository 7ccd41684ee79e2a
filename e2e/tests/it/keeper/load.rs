//! Clients that go on asking, and count what went wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use unary_e2e::Client;

/// What clients have seen so far.
#[derive(Debug, Default)]
pub(super) struct Load {
    is_over: AtomicBool,
    answered: AtomicU64,
    /// Connections that were not made.
    refused: AtomicU64,
    /// Requests that were not answered.
    failed: AtomicU64,
}

impl Load {
    /// Does something while so many clients ask on a new connection each time, and as many over one they
    /// keep for as long as the server does: how many connections were refused, and how many requests failed.
    pub(super) fn during(address: SocketAddr, clients: usize, test: impl FnOnce(&Self)) -> (u64, u64) {
        let load = Self::default();
        std::thread::scope(|scope| {
            let _ends = Ends(&load.is_over);
            for _ in 0..clients {
                scope.spawn(|| load.ask_anew(address));
                scope.spawn(|| load.ask_on(address));
            }
            test(&load);
        });
        (load.refused.into_inner(), load.failed.into_inner())
    }

    /// Waits for so many more answers.
    pub(super) fn wait_for(&self, more: u64) {
        let wanted = self.answered.load(Ordering::SeqCst) + more;
        unary_e2e::eventually("clients are answered", || self.answered.load(Ordering::SeqCst) >= wanted);
    }

    fn connect(&self, address: SocketAddr) -> Option<Client> {
        let connected = Client::try_connect_to(address);
        if connected.is_err() {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        connected.ok()
    }

    fn ask_anew(&self, address: SocketAddr) {
        while !self.is_over.load(Ordering::SeqCst) {
            let Some(mut client) = self.connect(address) else { continue };
            let asked = client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            self.count(asked.and_then(|()| client.reply()).is_ok());
        }
    }

    fn ask_on(&self, address: SocketAddr) {
        while !self.is_over.load(Ordering::SeqCst) {
            let Some(mut client) = self.connect(address) else { continue };
            while !self.is_over.load(Ordering::SeqCst) {
                let reply = client.try_get("/");
                self.count(reply.is_ok());
                if !reply.is_ok_and(|reply| reply.head.field("connection").is_none()) {
                    break; // It was the last over this one.
                }
            }
        }
    }

    fn count(&self, is_answered: bool) {
        let counter = if is_answered { &self.answered } else { &self.failed };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ends the clients also when the test fails, which would wait for them.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
