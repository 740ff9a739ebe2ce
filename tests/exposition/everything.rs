//! An exporter with every part in use: every family of the catalogue has samples, and all readers accept them.

use std::iter;
use std::path::PathBuf;

use openim_exporter::exposition::catalog::CATALOG;

use crate::authority::Authority;
use crate::formats::{Page, odd_names, post_messages};
use crate::oracle::assert_clean;
use crate::redis_server::Redis;
use crate::scrape::{Family, TEXT, TEXT_V1, read, scrape};
use crate::support::{Client, Exporter, Samples, eventually, free_port};
use crate::target::{Target, allows};
use crate::three_days::count_on_three_days;

const PAGES: [&str; 2] = ["/metrics", "/metrics/groups"];

/// The time of the last union.
const LAST_UNION: &str = "openim_exporter_replicas_last_union_timestamp_seconds";

/// An exporter with TLS, a state of three days, records, targets that answer and one that does not, and Redis.
struct Everything {
    exporter: Exporter,
    authority: Authority,
    _targets: [Target; 2],
    _redis: Redis,
}

impl Everything {
    fn start() -> Self {
        let authority = Authority::new();
        authority.issue("server", &["localhost"]);
        let (targets, redis) = ([(); 2].map(|()| Target::start(allows())), Redis::start(&[]));
        let redis_url = format!("redis://{}", redis.address());
        let [web, forward] = [authority.web_config("server", ""), targets_file(&authority, &targets)];
        let [state, records] = ["state", "records"].map(|name| authority.path(name));
        count_on_three_days(&state);
        let files = [
            ("--web.config.file", &web),
            ("--forward.config.file", &forward),
            ("--storage.path", &state),
            ("--record.path", &records),
        ];
        let files = files.iter().flat_map(|(flag, path)| [*flag, path.to_str().unwrap()]);
        let others = ["--replicas.redis-url", &redis_url, "--callback.dedup-window", "1m"];
        let exporter = Exporter::start(&files.chain(others).collect::<Vec<_>>());
        let everything = Self { exporter, authority, _targets: targets, _redis: redis };
        post_messages(&mut everything.connect(), &odd_names());
        everything
    }

    fn connect(&self) -> Client {
        Client::connect_secure(self.exporter.address(), &self.authority.client(None)).unwrap()
    }

    fn samples(&self) -> Samples {
        Samples::parse(std::str::from_utf8(&scrape(&mut self.connect(), "/metrics", TEXT)).unwrap())
    }

    /// Waits until all callbacks are delivered and a union has just ended: the numbers of the union, which may fall, then
    /// stay the same for five seconds.
    fn rest(&self) {
        let pending = "openim_exporter_forward_pending_callbacks{target=\"second\"}";
        eventually("the deliveries", || self.samples().value(pending) == 0.0);
        let last = || self.samples().value(LAST_UNION);
        let before = last();
        eventually("the next union", || last() > before);
    }

    /// Scrapes all pages. No union ends while the first one is scraped, which has its numbers.
    fn pages(&self) -> [Page; 2] {
        let mut client = self.connect();
        let scrapes = iter::repeat_with(|| {
            self.rest();
            PAGES.map(|path| Page::scrape(&mut client, path))
        });
        // On a busy machine, a union may end before the last scrape.
        scrapes.take(20).find(|[page, _]| page.has_kept(LAST_UNION)).expect("a union ended each time")
    }
}

/// Three targets: the first answers, and nothing listens at the last one.
fn targets_file(authority: &Authority, targets: &[Target; 2]) -> PathBuf {
    let [first, second] = targets.each_ref().map(Target::url);
    let nowhere = free_port();
    let text = format!(
        "targets:\n  - name: first\n    url: {first}\n    answers: true\n  - name: second\n    url: {second}\n  - name: \
         third\n    url: http://127.0.0.1:{nowhere}/\n"
    );
    authority.write("forward.yml", text)
}

/// Families of the catalogue without a sample.
fn without_samples<'a>(families: impl IntoIterator<Item = &'a Family>) -> Vec<&'static str> {
    let there: Vec<_> = families.into_iter().filter(|family| !family.samples.is_empty()).collect();
    // Python's parsers leave out `_total`.
    let is_there = |name: &str| there.iter().any(|family| family.name == name.trim_end_matches("_total"));
    CATALOG.iter().map(|family| family.name).filter(|name| !is_there(name)).collect()
}

#[test]
#[ignore = "needs protobuf-compiler, python3-prometheus-client and redis-server"]
fn all_formats_are_the_same_with_every_part_of_the_exporter_in_use() {
    let pages = Everything::start().pages();
    pages.iter().for_each(Page::assert_same);
    assert_eq!(without_samples(pages.iter().flat_map(|page| &page.before)), [""; 0]);
}

#[test]
#[ignore = "needs prometheus and redis-server"]
fn promtool_accepts_the_metrics_with_every_part_of_the_exporter_in_use() {
    let everything = Everything::start();
    everything.rest();
    for format in [TEXT, TEXT_V1] {
        let pages = PAGES.map(|path| scrape(&mut everything.connect(), path, format));
        pages.iter().for_each(|page| assert_clean(page));
        let families = pages.map(|page| read(format, &page)).concat();
        assert_eq!(without_samples(&families), [""; 0]);
    }
}

#[test]
#[ignore = "needs python3-prometheus-client"]
fn a_family_without_samples_is_noticed() {
    let exporter = Exporter::start(&[]);
    post_messages(&mut exporter.connect(), &["g".to_owned()]);
    let families = PAGES.map(|path| read(TEXT, &scrape(&mut exporter.connect(), path, TEXT))).concat();
    let missing = without_samples(&families);
    for start in
        ["openim_active_users_united", "openim_exporter_forward_", "openim_exporter_replicas_", "openim_sender_"]
    {
        assert!(missing.iter().any(|name| name.starts_with(start)), "{start}: {missing:?}");
    }
    assert!(!missing.contains(&"openim_group_messages_total"), "{missing:?}");
    // A family that is absent altogether is noticed too.
    let others = families.iter().filter(|family| family.name != "openim_group_messages");
    assert!(without_samples(others).contains(&"openim_group_messages_total"));
}
