//! Restarts and crashes under load.

use std::thread;
use std::time::Duration;

use crate::balancer::Balancer;
use crate::exporters::{Fleet, HAPROXY, NGINX, OPENIM};
use crate::network::{Machine, Network};
use crate::sender::{Report, Sender};

const RESTARTS: usize = 20;

/// OpenIM's processes that send to each balancer.
const PROCESSES: usize = 4;

/// Longer than HAProxy needs to notice that an exporter is not ready, and shorter than in production, to save time.
const DELAY: [&str; 2] = ["--web.drain-delay", "1500ms"];

/// Three exporters, both balancers, and OpenIM.
struct Scene {
    fleet: Fleet,
    balancers: [Balancer; 2],
    openim: Machine,
    _network: Network,
}

impl Scene {
    fn start() -> Self {
        let network = Network::new();
        let fleet = Fleet::start(&network, 3, &DELAY);
        let exporters = fleet.addresses();
        let balancers = [
            Balancer::nginx(network.machine(NGINX), &exporters),
            Balancer::haproxy(network.machine(HAPROXY), &exporters),
        ];
        Self { balancers, openim: network.machine(OPENIM), fleet, _network: network }
    }

    /// Sends through each balancer.
    fn send(&self) -> [Sender; 2] {
        [0, 1].map(|balancer| Sender::start(&self.openim, &self.balancers[balancer].url("/callback"), PROCESSES))
    }
}

fn answered(reports: &[Report]) -> f64 {
    reports.iter().map(|report| report.answered as f64).sum()
}

#[test]
#[ignore = "needs root, iproute2, nginx, haproxy, curl, go"]
fn twenty_rolling_restarts_lose_no_callback_and_count_each_once() {
    let mut scene = Scene::start();
    let senders = scene.send();
    for restart in 0..RESTARTS {
        scene.fleet.restart(restart % 3, "TERM");
    }
    let reports = senders.map(Sender::stop);
    for (report, balancer) in reports.iter().zip(&scene.balancers) {
        assert_eq!(report.failed(), 0, "{balancer:?}: {report:?}");
        assert!(report.answered > 2000, "{balancer:?}: {report:?}");
    }
    let counted = scene.fleet.messages();
    assert_eq!(counted.iter().sum::<f64>(), answered(&reports), "{counted:?}");
    assert!(counted.iter().all(|count| *count > 1000.0), "{counted:?}");
}

#[test]
#[ignore = "needs root, iproute2, nginx, haproxy, curl, go"]
fn an_exporter_that_is_killed_costs_the_callbacks_in_flight_and_none_is_repeated() {
    let mut scene = Scene::start();
    let senders = scene.send();
    thread::sleep(Duration::from_secs(1));
    // Stopped, it receives callbacks and counts none. If a balancer repeated them, they would be answered.
    scene.fleet.exporter(0).signal("STOP");
    thread::sleep(Duration::from_millis(500));
    scene.fleet.restart(0, "KILL");
    thread::sleep(Duration::from_secs(1));
    let most = senders[0].in_flight();
    let reports = senders.map(Sender::stop);
    for (report, balancer) in reports.iter().zip(&scene.balancers) {
        assert!((1..=most).contains(&report.failed()), "{balancer:?}: {report:?}");
    }
    let counted: f64 = scene.fleet.messages().iter().sum();
    assert_eq!(counted, answered(&reports), "{reports:?}");

    // Killed at any moment, it may have counted those in flight.
    let senders = scene.send();
    for position in [1, 2, 0] {
        thread::sleep(Duration::from_millis(500));
        scene.fleet.restart(position, "KILL");
    }
    let reports = senders.map(Sender::stop);
    for (report, balancer) in reports.iter().zip(&scene.balancers) {
        // A process that is killed closes its sockets one after the other. So a sender may fail on an open connection, and
        // again on a new one to the listening socket.
        assert!(report.failed() <= 3 * 2 * most, "{balancer:?}: {report:?}");
    }
    let sent = reports.iter().map(|report| report.sent as f64).sum();
    let counted = scene.fleet.messages().iter().sum::<f64>() - counted;
    assert!((answered(&reports)..=sent).contains(&counted), "{counted}: {reports:?}");
}
