//! A site like the exporter's in this process, with limits that a test can reach and any number of groups.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use openim_exporter::config::{Http, ListenAddress};
use openim_exporter::domain::{Clock, SystemClock};
use openim_exporter::http::{Access, Limits, Listener, Role, Site, Worker, WorkerEnd, fuzz, listen};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::{Samples, Telemetry};
use openim_exporter::wire;
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::{Client, Response, SUCCESS, eventually, message};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The default limits with an hour for each second. Only [`Served::pass`] reaches them, so the machine may be slow.
pub(crate) fn in_hours() -> Limits {
    let Limits { head, body, answer, confirmation, heartbeat, idle, linger, idle_draining, request_draining, drain } =
        Limits::default();
    let hours = |seconds: Duration| seconds * 3600;
    Limits {
        head: hours(head),
        body: hours(body),
        answer: hours(answer),
        confirmation,
        heartbeat: hours(heartbeat),
        idle: hours(idle),
        linger: hours(linger),
        idle_draining: hours(idle_draining),
        request_draining: hours(request_draining),
        drain: hours(drain),
    }
}

/// A site that serves on one thread of this process, and is swept on another.
pub(crate) struct Served {
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    site: Arc<Site>,
    addresses: Vec<SocketAddr>,
    worker: JoinHandle<io::Result<WorkerEnd>>,
    /// Held during a sweep.
    sweeping: Arc<Mutex<()>>,
}

/// The default configuration, with this many scrapes at a time and small bodies.
pub(crate) fn http_config(max_scrapes: usize) -> Http {
    Http { max_scrapes, max_body_bytes: 1024, ..Http::defaults().unwrap() }
}

impl Served {
    pub(crate) fn new(limits: Limits, max_scrapes: usize) -> Self {
        Self::with_groups(0, limits, max_scrapes)
    }

    /// A site that has counted one message in each of this many groups, and exports ten of them.
    pub(crate) fn with_groups(groups: usize, limits: Limits, max_scrapes: usize) -> Self {
        Self::with_config(groups, limits, http_config(max_scrapes))
    }

    pub(crate) fn with_config(groups: usize, limits: Limits, config: Http) -> Self {
        Self::with_addresses(1, groups, limits, config)
    }

    /// A site that listens at this many addresses.
    pub(crate) fn with_addresses(number: usize, groups: usize, limits: Limits, config: Http) -> Self {
        let hosts = vec![ListenAddress::Host(vec!["127.0.0.1:0".parse().unwrap()]); number];
        Self::with_listeners(listen(&hosts, Role::All).unwrap(), groups, limits, config)
    }

    /// A site whose kernel buffers only a few KiB for a client that does not read.
    pub(crate) fn with_small_buffers(groups: usize, limits: Limits, config: Http) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
        Self::with_listeners(vec![Listener::inherited(listener, Role::All).unwrap()], groups, limits, config)
    }

    fn with_listeners(listeners: Vec<Listener>, groups: usize, limits: Limits, config: Http) -> Self {
        let telemetry = Arc::new(Telemetry::default());
        let capacities = Capacities {
            groups: groups + 10,
            exported_groups: 10,
            sender_pairs: 100,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 40,
        };
        let stats = Arc::new(Stats::in_memory(capacities, SystemClock.now()).unwrap());
        for group in 0..groups {
            let body = message(&format!("group-{group}"), "u");
            wire::decode_group_message(body.as_bytes(), |message| stats.record(message, SystemClock.now())).unwrap();
        }
        let parts = (Arc::clone(&stats), Arc::clone(&telemetry), Arc::new(SystemClock) as Arc<dyn Clock>);
        let access = Access::read(&config).unwrap();
        let site = Arc::new(Site::new(parts, config, access, limits, 1));
        let addresses = listeners.iter().map(|listener| listener.address().unwrap()).collect();
        let worker = Worker::create_all(&site, listeners).unwrap().remove(0);
        let worker = thread::spawn(move || worker.run());
        let live = Arc::clone(&site);
        thread::spawn(move || live.publish_live());
        let (swept, sweeping) = (Arc::clone(&site), Arc::<Mutex<()>>::default());
        let turn = Arc::clone(&sweeping);
        thread::spawn(move || {
            while !swept.has_ended() {
                let sweep = turn.lock().unwrap();
                swept.sweep();
                drop(sweep);
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stats, telemetry, site, addresses, worker, sweeping }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    /// A client that receives only this many bytes, or a few more, before it reads them.
    pub(crate) fn connect_narrow(&self, bytes: usize) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&self.address().into()).unwrap();
        Client::from_socket(TcpStream::from(socket)).unwrap()
    }

    /// Acts as if this time had passed. What has arrived by now arrived before that time.
    pub(crate) fn pass(&self, time: Duration) {
        // Only one thread sweeps at a time.
        let sweep = self.sweeping.lock().unwrap();
        self.site.pass(time);
        drop(sweep);
        // So that the test notices if this ends something too early.
        thread::sleep(Duration::from_millis(20));
    }

    /// The same until something happens: more than once only if the exporter was still busy when the time passed.
    pub(crate) fn pass_until(&self, time: Duration, mut has_happened: impl FnMut() -> bool) {
        let happens_soon = |_| {
            self.pass(time);
            let end = Instant::now() + Duration::from_secs(5);
            while Instant::now() < end {
                if has_happened() {
                    return true;
                }
                thread::sleep(Duration::from_millis(10));
            }
            false
        };
        assert!((0..3).any(happens_soon), "nothing happened");
    }

    /// The site is not swept until the guard is dropped.
    pub(crate) fn without_sweeps(&self) -> MutexGuard<'_, ()> {
        self.sweeping.lock().unwrap()
    }

    /// Announces the drain.
    pub(crate) fn leave(&self) {
        self.site.leave("TERM", HOUR);
    }

    /// Begins to drain. The drain ends with the last connection.
    pub(crate) fn drain(&self) {
        self.site.drain();
    }

    /// Waits for the end of the drain.
    pub(crate) fn wait(&self) {
        eventually("the end of the drain", || self.worker.is_finished());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Posts a callback, and waits until the exporter, too, has ended the exchange. By then it has read everything that
    /// was sent before over any connection, because it reads in that order.
    pub(crate) fn post(&self, client: &mut Client) -> Response {
        let ended = || self.observed("openim_exporter_callback_duration_seconds").0;
        let before = ended();
        let response = client.post("/callbackAfterSendGroupMsgCommand", message("g", "u"));
        assert_eq!((response.status, response.text().as_str()), (200, SUCCESS));
        eventually("the end of the exchange", || ended() > before);
        response
    }

    /// Open connections, and callbacks in flight.
    pub(crate) fn in_progress(&self) -> (usize, usize) {
        fuzz::in_progress(&self.site)
    }

    /// Refusals for a reason, read from the counter, because scrapes may be refused.
    pub(crate) fn refused(&self, reason: &str) -> f64 {
        self.stats.refusals().find(|(label, _)| *label == reason).unwrap().1 as f64
    }

    /// Connections that were ended for a reason.
    pub(crate) fn ended(&self, reason: &str) -> f64 {
        self.counted("openim_exporter_connections_ended_total", reason)
    }

    /// Callbacks counted.
    pub(crate) fn callbacks(&self) -> u64 {
        self.stats.callbacks().map(|(_, count)| count).sum()
    }

    fn counted(&self, counter: &str, reason: &str) -> f64 {
        let Samples::ByLabel(counts) = self.samples(counter) else { panic!("{counter}") };
        counts.into_iter().find(|(label, _)| *label == reason).unwrap().1 as f64
    }

    fn samples(&self, name: &str) -> Samples {
        self.telemetry.samples(&|family| family == name).remove(0).1
    }

    /// Scrapes that were written to their end.
    pub(crate) fn scrapes_written(&self) -> u64 {
        self.observed("openim_exporter_scrape_duration_seconds").0
    }

    /// Number and sum of a histogram's observations.
    pub(crate) fn observed(&self, name: &str) -> (u64, f64) {
        let samples = self.samples(name);
        let Samples::Histogram { count, sum, .. } = samples else { panic!("{samples:?}") };
        (count, sum)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.site.end();
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}
