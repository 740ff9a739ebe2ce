//! Redis on machines of its own: a single server, a primary with Sentinels, or a Cluster.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use crate::network::{Machine, Network};
use crate::support::eventually;

/// The address of the first machine ends with this number.
const FIRST: u8 = 41;

/// A server. It keeps nothing on disk except what a Cluster and Sentinel keep there, and is killed when dropped.
pub(crate) struct Server {
    process: Child,
    machine: Machine,
    port: u16,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(machine: Machine, port: u16, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A Sentinel needs a file that it can write to.
        fs::write(folder.path().join("redis.conf"), "").unwrap();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = run(&machine, port, &arguments, &folder);
        let server = Self { process, machine, port, arguments, folder };
        server.wait();
        server
    }

    fn wait(&self) {
        eventually("redis-server", || self.cli(&["PING"]) == "PONG");
    }

    /// What `redis-cli` prints.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let mut cli =
            self.machine.command(&[&["redis-cli", "-h", &self.machine.address, "-p", &port], arguments].concat());
        let output = cli.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim_end().to_owned()
    }

    fn address(&self) -> String {
        format!("{}:{}", self.machine.address, self.port)
    }

    /// The machine's address.
    pub(crate) fn host(&self) -> &str {
        &self.machine.address
    }

    pub(crate) fn signal(&self, name: &str) {
        crate::support::signal(self.process.id(), name);
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a killed server again. It has forgotten everything.
    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.machine, self.port, &self.arguments, &self.folder);
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(machine: &Machine, port: u16, arguments: &[String], folder: &tempfile::TempDir) -> Child {
    let config = folder.path().join("redis.conf");
    let mut server = machine.command(&["redis-server", config.to_str().unwrap()]);
    server.args(arguments.iter().filter(|argument| *argument == "--sentinel"));
    server.args(["--port", &port.to_string(), "--bind", &machine.address, "--protected-mode", "no"]);
    server.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", "--dir"]).arg(folder.path());
    server.args(arguments.iter().filter(|argument| *argument != "--sentinel"));
    server.stdout(File::create(folder.path().join("log")).unwrap()).spawn().unwrap()
}

/// What exporters unite through.
pub(crate) struct Redis {
    pub(crate) servers: Vec<Server>,
    _sentinels: Vec<Server>,
    pub(crate) url: String,
}

impl Redis {
    pub(crate) fn single(network: &Network) -> Self {
        let server = Server::start(network.machine(FIRST), 6379, &[]);
        Self { url: format!("redis://{}", server.address()), servers: vec![server], _sentinels: Vec::new() }
    }

    /// A primary, a replica, and three Sentinels.
    pub(crate) fn with_sentinel(network: &Network) -> Self {
        let primary = Server::start(network.machine(FIRST), 6379, &[]);
        let replica = Server::start(network.machine(FIRST + 1), 6379, &["--replicaof", primary.host(), "6379"]);
        eventually("the replica", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
        let sentinels: Vec<_> =
            (2..5).map(|number| Server::start(network.machine(FIRST + number), 26379, &["--sentinel"])).collect();
        for sentinel in &sentinels {
            assert_eq!(sentinel.cli(&["SENTINEL", "MONITOR", "main", primary.host(), "6379", "2"]), "OK");
            for [name, value] in [["down-after-milliseconds", "500"], ["failover-timeout", "3000"]] {
                assert_eq!(sentinel.cli(&["SENTINEL", "SET", "main", name, value]), "OK");
            }
        }
        let knows_all = |sentinel: &Server| sentinel.cli(&["INFO", "sentinel"]).contains("slaves=1,sentinels=3");
        eventually("the Sentinels", || sentinels.iter().all(knows_all));
        let hosts: Vec<_> = sentinels.iter().map(Server::address).collect();
        let url = format!("redis://{}/?sentinel=main", hosts.join(","));
        Self { servers: vec![primary, replica], _sentinels: sentinels, url }
    }

    /// A Cluster of three servers. The first one has the exporters' keys.
    pub(crate) fn cluster(network: &Network) -> Self {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let mut servers: Vec<_> =
            (0..3).map(|number| Server::start(network.machine(FIRST + number), 6379, &settings)).collect();
        let addresses: Vec<_> = servers.iter().map(Server::address).collect();
        let create: Vec<_> = ["--cluster", "create"]
            .into_iter()
            .chain(addresses.iter().map(String::as_str))
            .chain(["--cluster-replicas", "0", "--cluster-yes"])
            .collect();
        let mut create = servers[0].machine.command(&[&["redis-cli"], &create[..]].concat());
        let said = String::from_utf8(create.stdin(Stdio::null()).output().unwrap().stdout).unwrap();
        assert!(said.contains("[OK] All 16384 slots covered."), "{said}");
        eventually("the Cluster", || {
            servers.iter().all(|server| server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
        });
        let is_owner = |server: &Server| server.cli(&["EXISTS", "{openim-exporter}:a"]) == "0";
        let owner = servers.iter().position(is_owner).unwrap();
        servers.swap(0, owner);
        Self { servers, _sentinels: Vec::new(), url: format!("redis://{}?cluster=true", addresses.join(",")) }
    }
}
