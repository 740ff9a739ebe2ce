//! Exporters, each on its own machine and with its own state.

use crate::network::{Machine, Network};
use crate::support::{Exporter, Samples};

/// Addresses end with 1, 2 and so on for the exporters, and with these for the others.
pub(crate) const NGINX: u8 = 21;
pub(crate) const HAPROXY: u8 = 22;
pub(crate) const OPENIM: u8 = 31;

/// The exporters.
pub(crate) struct Fleet(Vec<Member>);

struct Member {
    machine: Machine,
    state: tempfile::TempDir,
    flags: Vec<String>,
    /// `None` while it restarts.
    running: Option<Exporter>,
}

impl Fleet {
    /// Starts exporters that accept callbacks only from OpenIM, through the balancers.
    pub(crate) fn start(network: &Network, count: u8, flags: &[&str]) -> Self {
        let proxies = format!("10.0.0.{NGINX},10.0.0.{HAPROXY}");
        let openim = format!("10.0.0.{OPENIM}");
        let trust = ["--web.trusted-proxies", &proxies, "--callback.allowed-networks", &openim];
        let flags: Vec<_> = [&trust, flags].concat().into_iter().map(str::to_owned).collect();
        let member = |number| {
            let (machine, state) = (network.machine(number), tempfile::tempdir().unwrap());
            let mut member = Member { machine, state, flags: flags.clone(), running: None };
            member.start();
            member
        };
        Self((1..=count).map(member).collect())
    }

    /// The addresses of the machines.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.0.iter().map(|member| member.machine.address.as_str()).collect()
    }

    /// The machine of an exporter.
    pub(crate) fn machine(&self, position: usize) -> &Machine {
        &self.0[position].machine
    }

    /// An exporter that runs.
    pub(crate) fn exporter(&self, position: usize) -> &Exporter {
        self.0[position].running.as_ref().unwrap()
    }

    /// Ends an exporter with a signal and starts it again.
    pub(crate) fn restart(&mut self, position: usize, signal: &str) {
        let member = &mut self.0[position];
        let exporter = member.running.take().unwrap();
        exporter.signal(signal);
        let (status, log) = exporter.wait();
        assert!(status.success() || signal == "KILL", "{status}: {log:#?}");
        assert!(!log.iter().any(|line| line.contains("cut off")), "{log:#?}");
        member.start();
    }

    /// The metrics of each exporter.
    pub(crate) fn scrape(&self) -> Vec<Samples> {
        let url = |member: &Member| format!("http://{}:10006/metrics", member.machine.address);
        self.0.iter().map(|member| Samples::parse(&member.machine.curl(&[&url(member)]))).collect()
    }

    /// The group messages that each exporter has counted.
    pub(crate) fn messages(&self) -> Vec<f64> {
        self.scrape().iter().map(|samples| samples.sum("openim_group_messages_total")).collect()
    }
}

impl Member {
    fn start(&mut self) {
        let listen = format!("{}:10006", self.machine.address);
        let own = ["--web.listen-address", &listen, "--storage.path", self.state.path().to_str().unwrap()];
        let flags: Vec<_> = own.into_iter().chain(self.flags.iter().map(String::as_str)).collect();
        self.running = Some(Exporter::run(&mut self.machine.exporter(&flags)));
    }
}
