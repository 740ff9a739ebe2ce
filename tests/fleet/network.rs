//! A network of machines. It ends when dropped, and with the test's process at the latest ten minutes later.

use std::process::Command;

use crate::support::namespace::Namespace;

/// A switch. Machines connect to it.
pub(crate) struct Network {
    switch: Namespace,
}

/// A machine, with one address.
pub(crate) struct Machine {
    namespace: Namespace,
    pub(crate) address: String,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self { switch: Namespace::new("ip link add bridge type bridge; ip link set bridge up") }
    }

    /// A new machine, whose address ends with this number.
    pub(crate) fn machine(&self, number: u8) -> Machine {
        let machine = Machine { namespace: Namespace::new("ip link set lo up"), address: format!("10.0.0.{number}") };
        // A link ends with either of its namespaces.
        self.switch.must_run(&format!(
            "ip link add port{number} type veth peer name eth0 netns {}; ip link set port{number} master bridge up",
            machine.namespace.pid()
        ));
        machine.must_run(&format!("ip address add {}/24 dev eth0; ip link set eth0 up", machine.address));
        machine
    }
}

impl Machine {
    /// A command on this machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.namespace.command(arguments)
    }

    /// The exporter with these flags.
    pub(crate) fn exporter(&self, flags: &[&str]) -> Command {
        self.namespace.exporter(flags)
    }

    /// Runs commands of a shell, which must succeed. Returns what they print.
    pub(crate) fn must_run(&self, commands: &str) -> String {
        self.namespace.must_run(commands)
    }

    /// What curl prints; nothing if it fails.
    pub(crate) fn curl(&self, arguments: &[&str]) -> String {
        self.namespace.curl(arguments)
    }
}
