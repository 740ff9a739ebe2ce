//! Redis fails in every way while callbacks arrive: none is lost, and the united numbers are right or not there.

use std::thread;
use std::time::{Duration, Instant};

use crate::balancer::Balancer;
use crate::exporters::{Fleet, HAPROXY, OPENIM};
use crate::network::{Machine, Network};
use crate::redis::Redis;
use crate::sender::Sender;
use crate::support::GROUP_MESSAGE_PATH;

const EXPORTERS: u8 = 3;

/// How long a failure lasts at least: one round of the exchange. On a busy machine, it may be noticed later.
const FAILURE: Duration = Duration::from_secs(14);

/// Rounds are 10 s apart; after a failure, one may be in progress.
const PATIENCE: Duration = Duration::from_secs(40);

/// People who send to one exporter only.
const PEOPLE: usize = 10;

/// Small tables: many exporters run at the same time.
const FLAGS: [&str; 6] =
    ["--groups.max-tracked", "1000", "--senders.max-tracked", "10000", "--users.max-online", "1000"];

struct Scene {
    redis: Redis,
    fleet: Fleet,
    balancer: Balancer,
    openim: Machine,
    _network: Network,
    /// Distinct senders so far.
    people: usize,
}

/// What goes wrong, and how it ends.
struct Failure {
    name: &'static str,
    redis: fn(&Network) -> Redis,
    begin: fn(&mut Scene),
    end: fn(&mut Scene),
    /// How many exporters certainly notice it.
    noticed_by: usize,
}

const FAILURES: [Failure; 6] = [
    Failure {
        name: "killed",
        redis: Redis::single,
        begin: |scene| scene.redis.servers[0].kill(),
        end: |scene| scene.redis.servers[0].start_again(),
        noticed_by: 3,
    },
    Failure {
        name: "frozen",
        redis: Redis::single,
        begin: |scene| scene.redis.servers[0].signal("STOP"),
        end: |scene| scene.redis.servers[0].signal("CONT"),
        noticed_by: 3,
    },
    Failure {
        name: "full",
        redis: Redis::single,
        begin: |scene| assert_eq!(scene.redis.servers[0].cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK"),
        end: |scene| assert_eq!(scene.redis.servers[0].cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK"),
        noticed_by: 3,
    },
    Failure {
        name: "cut off from one exporter",
        redis: Redis::single,
        begin: |scene| route(scene, "add"),
        end: |scene| route(scene, "delete"),
        noticed_by: 1,
    },
    Failure {
        name: "failed over",
        redis: Redis::with_sentinel,
        begin: |scene| scene.redis.servers[0].kill(),
        // It takes less time than passes between two rounds.
        end: |_| {},
        noticed_by: 0,
    },
    Failure {
        name: "a Cluster whose node is frozen",
        redis: Redis::cluster,
        begin: |scene| scene.redis.servers[0].signal("STOP"),
        end: |scene| scene.redis.servers[0].signal("CONT"),
        noticed_by: 3,
    },
];

/// Adds or deletes a route on which the first exporter's packets to Redis vanish.
fn route(scene: &Scene, what: &str) {
    scene.fleet.machine(0).must_run(&format!("ip route {what} blackhole {}/32", scene.redis.servers[0].host()));
}

impl Scene {
    fn start(redis: fn(&Network) -> Redis) -> Self {
        let network = Network::new();
        let redis = redis(&network);
        let fleet = Fleet::start(&network, EXPORTERS, &[&FLAGS[..], &["--replicas.redis-url", &redis.url]].concat());
        let balancer = Balancer::haproxy(network.machine(HAPROXY), &fleet.addresses());
        Self { redis, fleet, balancer, openim: network.machine(OPENIM), _network: network, people: 0 }
    }

    /// Messages of new people to one exporter.
    fn meet(&mut self, exporter: usize) {
        let url = format!("http://{}:10006{GROUP_MESSAGE_PATH}", self.fleet.addresses()[exporter]);
        let (from, to) = (self.people, self.people + PEOPLE - 1);
        self.openim.must_run(&format!(
            "for i in $(seq {from} {to}); do curl -sf -H 'Content-Type: application/json' \
             -d '{{\"sendID\":\"p'$i'\",\"groupID\":\"g\"}}' {url}; done"
        ));
        self.people += PEOPLE;
    }

    fn send(&self) -> Sender {
        Sender::start(&self.openim, &self.balancer.url("/callback"), 1)
    }

    /// The united number of people who sent within an hour, at each exporter that reports it.
    fn united(&self) -> Vec<Option<f64>> {
        let samples = self.fleet.scrape();
        samples.iter().map(|samples| samples.get(r#"openim_active_senders_united{window="1h"}"#)).collect()
    }

    /// How often each exporter could not unite.
    fn failures(&self) -> Vec<f64> {
        self.fleet.scrape().iter().map(|samples| samples.sum("openim_exporter_replicas_failures_total")).collect()
    }

    /// How many exporters could not unite.
    fn noticed(&self) -> usize {
        self.failures().iter().filter(|failures| **failures > 0.0).count()
    }

    /// Whether a united number is within 2 % of the truth now, or of the truth when there were this many people.
    fn is_right(&self, united: f64, earliest: usize) -> bool {
        // And the sender's two workers.
        let [least, most] = [earliest, self.people].map(|people| (people + 2) as f64);
        (least * 0.98..=most * 1.02).contains(&united)
    }

    fn wait_until_right(&self, name: &str) {
        let begin = Instant::now();
        loop {
            let united = self.united();
            if united.iter().all(|united| united.is_some_and(|united| self.is_right(united, self.people))) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{name}: {united:?}, and there were {} people", self.people);
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Returns the 99th percentile of the answers' times before, during and after a failure, in milliseconds.
fn check(failure: &Failure) -> [f64; 3] {
    let Failure { name, redis, begin, end, noticed_by } = failure;
    let mut scene = Scene::start(*redis);
    (0..usize::from(EXPORTERS)).for_each(|exporter| scene.meet(exporter));
    let sender = scene.send();
    scene.wait_until_right(name);
    let before = sender.stop();
    let (sender, people) = (scene.send(), scene.people);
    begin(&mut scene);
    scene.meet(0);
    let began = Instant::now();
    while began.elapsed() < FAILURE || (scene.noticed() < *noticed_by && began.elapsed() < PATIENCE) {
        // Those that came since may be missing in the last numbers.
        let united = scene.united();
        let is_wrong = |united: &f64| !scene.is_right(*united, people);
        assert!(!united.iter().flatten().any(is_wrong), "{name}: {united:?}, and there were {} people", scene.people);
        thread::sleep(Duration::from_secs(1));
    }
    let during = sender.stop();
    let noticed = scene.noticed();
    assert!(noticed >= *noticed_by && (noticed == 1 || *noticed_by != 1), "{name}: {:?}", scene.failures());
    end(&mut scene);
    let sender = scene.send();
    scene.wait_until_right(name);
    let after = sender.stop();
    let reports = [&before, &during, &after];
    assert!(reports.iter().all(|report| report.failed() == 0), "{name}: {reports:?}");
    let answered: u64 = reports.iter().map(|report| report.answered).sum();
    assert_eq!(scene.fleet.messages().iter().sum::<f64>(), answered as f64 + scene.people as f64, "{name}");
    reports.map(|report| report.p99_ms)
}

#[test]
#[ignore = "needs root, iproute2, haproxy, redis-server, curl, go"]
fn whatever_happens_to_redis_no_callback_is_lost_and_no_united_number_is_wrong() {
    thread::scope(|scope| {
        let checks = FAILURES.each_ref().map(|failure| (failure.name, scope.spawn(|| check(failure))));
        for (name, check) in checks {
            println!("{name}: p99 before, during and after it: {:.1?} ms", check.join().unwrap());
        }
    });
}
