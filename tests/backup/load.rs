//! Messages over several connections, in groups that come and go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::support::{Client, GROUP_MESSAGE_PATH, post_bytes};

const CONNECTIONS: u64 = 4;

const DISMISSAL: &str = "/callbackAfterDisMissGroupCommand";

/// Ends the load when dropped, also after a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something while messages are sent, as fast as they are answered.
pub(crate) fn while_sending(address: SocketAddr, then: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ended = Ended(&done);
        let done = &done;
        (0..CONNECTIONS).for_each(|number| drop(scope.spawn(move || send(address, number, done))));
        then();
    });
}

fn send(address: SocketAddr, number: u64, done: &AtomicBool) {
    let mut client = Client::connect(address).unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(number);
    let mut turn = 0_u32;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        // More than are tracked. Later ones have higher numbers, so that a dismissed one makes room for a new one.
        let group = random.random_range(0..30) + if turn.is_multiple_of(3) { turn / 10 } else { 0 };
        let (content_type, length) = ([101, 102, 3001][turn as usize % 3], random.random_range(1..3000));
        let body = format!(
            r#"{{"sendID":"u{}","groupID":"g{group}","contentType":{content_type},"status":2,"senderPlatformID":{},"content":"{}"}}"#,
            random.random_range(0..100),
            turn % 5 + 1,
            "x".repeat(length)
        );
        let request = post_bytes(GROUP_MESSAGE_PATH, "", body.as_bytes());
        assert_eq!(ask(&mut client, request), 200);
        if turn.is_multiple_of(200) {
            let dismissed = format!(r#"{{"groupID":"g{}"}}"#, random.random_range(0..turn / 10 + 30));
            assert_eq!(ask(&mut client, post_bytes(DISMISSAL, "", dismissed.as_bytes())), 200);
        }
    }
}

fn ask(client: &mut Client, request: Vec<u8>) -> u16 {
    client.send(request).unwrap();
    client.answer().status
}
