//! A site like the exporter's in this process, with limits that a test can reach and any number of groups.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use openim_exporter::config::{Http, ListenAddress};
use openim_exporter::domain::{Clock, SystemClock};
use openim_exporter::http::{Access, Limits, Listener, Role, Site, Worker, listen};
use openim_exporter::stats::{Capacities, Stats};
use openim_exporter::telemetry::{Samples, Telemetry};
use openim_exporter::wire;
use socket2::SockRef;

use crate::support::{Client, message};

/// A site that serves on one thread of this process, and is swept on another.
pub(crate) struct Served {
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    site: Arc<Site>,
    address: SocketAddr,
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
        let host = ListenAddress::Host(vec!["127.0.0.1:0".parse().unwrap()]);
        Self::with_listener(listen(&[host], Role::All).unwrap().remove(0), groups, limits, config)
    }

    /// A site whose kernel buffers only a few KiB for a client that does not read.
    pub(crate) fn with_small_buffers(limits: Limits, config: Http) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
        Self::with_listener(Listener::inherited(listener, Role::All).unwrap(), 0, limits, config)
    }

    fn with_listener(listener: Listener, groups: usize, limits: Limits, config: Http) -> Self {
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
        let address = listener.address().unwrap();
        let worker = Worker::create_all(&site, vec![listener]).unwrap().remove(0);
        thread::spawn(move || worker.run());
        let live = Arc::clone(&site);
        thread::spawn(move || live.publish_live());
        let swept = Arc::clone(&site);
        thread::spawn(move || {
            while !swept.has_ended() {
                swept.sweep();
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stats, telemetry, site, address }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// Begins to drain. It does not end by itself.
    pub(crate) fn drain(&self) {
        self.site.drain();
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
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
