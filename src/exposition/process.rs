//! The metrics of the process, as Go's client library has them.

use std::cell::LazyCell;
use std::fs;
use std::sync::LazyLock;

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::domain::UnixMillis;
use crate::telemetry::{Family, Kind, Samples};

/// A family, and its value; `None` if the system does not provide it.
type Declaration = (Family, fn(&Sources) -> Option<f64>);

/// The families in the order of a scrape. Names and help are those of Go's client library, which has no
/// `process_threads`: `tests/exposition/process.rs` compares them with those of real programs.
static FAMILIES: [Declaration; 10] = [
    // The crate's is in whole seconds.
    (counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."), |_| Some(cpu_seconds())),
    (gauge("process_max_fds", "Maximum number of open file descriptors."), |sources| {
        sources.collected("process_max_fds")
    }),
    (RECEIVED, |sources| octets(sources.netstat.as_deref()?, "InOctets")),
    (SENT, |sources| octets(sources.netstat.as_deref()?, "OutOctets")),
    (gauge("process_open_fds", "Number of open file descriptors."), |sources| sources.collected("process_open_fds")),
    (gauge("process_resident_memory_bytes", "Resident memory size in bytes."), |sources| {
        sources.collected("process_resident_memory_bytes")
    }),
    // The crate's is in whole seconds, and a restart can take less than one.
    (gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds."), |_| {
        start().map(UnixMillis::seconds)
    }),
    (gauge("process_threads", "Number of OS threads in the process."), |sources| sources.collected("process_threads")),
    (gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."), |sources| {
        sources.collected("process_virtual_memory_bytes")
    }),
    (gauge("process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes."), |_| {
        Some(memory_limit())
    }),
];

/// These two count IPv4 in the whole network namespace, which may be much older than the process. Only
/// `tests/exposition/process.rs` would notice if they were swapped.
const RECEIVED: Family =
    counter("process_network_receive_bytes_total", "Number of bytes received by the process over the network.");
const SENT: Family =
    counter("process_network_transmit_bytes_total", "Number of bytes sent by the process over the network.");

/// What the values are read from, each when it is first needed.
struct Sources {
    collected: LazyCell<Vec<MetricFamily>>,
    netstat: LazyCell<Option<String>>,
}

impl Sources {
    /// A value of the `prometheus` crate. 0 means that it could not be read.
    fn collected(&self, name: &str) -> Option<f64> {
        let family = self.collected.iter().find(|family| family.name() == name)?;
        let value = family.get_metric().first()?.get_gauge().get_value();
        (value > 0.0).then_some(value)
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family::new(name, Kind::Counter, help, &[])
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family::new(name, Kind::Gauge, help, &[])
}

/// The current values of the families whose names are wanted.
pub(super) fn samples(wanted: &dyn Fn(&str) -> bool) -> Vec<(&'static Family, Samples)> {
    static COLLECTOR: LazyLock<ProcessCollector> = LazyLock::new(ProcessCollector::for_self);
    let sources = Sources {
        collected: LazyCell::new(|| COLLECTOR.collect()),
        netstat: LazyCell::new(|| fs::read_to_string("/proc/self/net/netstat").ok()),
    };
    let families = FAMILIES.iter().filter(|(family, _)| wanted(family.name));
    families.filter_map(|(family, value)| Some((family, Samples::Single(value(&sources)?)))).collect()
}

/// Whether the counters of a family perhaps began before the process.
pub(super) fn is_older(family: &Family) -> bool {
    [RECEIVED, SENT].contains(family)
}

/// When the process and its counters began. Read once, because the system's answer changes when its clock is set.
pub(super) fn start() -> Option<UnixMillis> {
    static START: LazyLock<Option<UnixMillis>> = LazyLock::new(|| {
        let read = |path| fs::read_to_string(path).ok();
        let booted: i64 = read("/proc/stat")?.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
        let after_ms = started_ticks(&read("/proc/self/stat")?)? * 1000 / clock_ticks_per_second();
        Some(UnixMillis(booted * 1000 + i64::try_from(after_ms).ok()?))
    });
    *START
}

/// When the process began, in ticks since the system's start: the 22nd field of `/proc/self/stat`, see proc(5). The second
/// one, the program's name, may contain spaces and parentheses.
fn started_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Without a limit, the largest number, as in Go's client library.
fn memory_limit() -> f64 {
    getrlimit(Resource::As).current.unwrap_or(u64::MAX) as f64
}

/// A number of the IP layer in `/proc/self/net/netstat`: a line of names, and one of numbers.
fn octets(netstat: &str, name: &str) -> Option<f64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let position = names.split(' ').position(|found| found == name)?;
    numbers.split(' ').nth(position)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
        samples(wanted).iter().map(|(family, _)| family.name).collect()
    }

    #[test]
    fn every_family_has_a_value_and_they_are_in_order() {
        let all = names(&|_| true);
        assert_eq!(all.len(), FAMILIES.len());
        assert!(all.is_sorted());
        assert_eq!(names(&|name| name == "process_threads"), ["process_threads"]);
        assert_eq!(names(&|_| false), [""; 0]);
        for (family, samples) in samples(&|_| true) {
            let Samples::Single(value) = samples else { panic!("{family:?}") };
            let may_be_zero = family.name.starts_with("process_network_");
            assert!(value > 0.0 || may_be_zero && value >= 0.0, "{}: {value}", family.name);
        }
    }

    #[test]
    fn memory_is_in_bytes_and_the_start_a_moment_ago() {
        let value = |name: &str| match samples(&|found| found == name).as_slice() {
            [(_, Samples::Single(value))] => *value,
            other => panic!("{other:?}"),
        };
        let resident = value("process_resident_memory_bytes");
        assert!((1e6..1e10).contains(&resident) && resident < value("process_virtual_memory_bytes"), "{resident}");
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((now - 600.0..now + 1.5).contains(&value("process_start_time_seconds")));
        let file = fs::File::open("/proc/self/stat").unwrap();
        let with_file = value("process_open_fds");
        assert!(with_file >= 4.0, "{with_file} {file:?}");
    }

    #[test]
    fn numbers_are_found_and_what_is_missing_is_unknown() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 9 0 0 0 5 6 0 0 20 0 3 0 1234 5678 90 18446744073709551615\n";
        assert_eq!(started_ticks(stat), Some(1234));
        assert_eq!([started_ticks("7 (a) S"), started_ticks("")], [None, None]);
        let netstat = "TcpExt: InOctets OutOctets\nTcpExt: 1 2\nIpExt: InMcastPkts InOctets OutOctets\nIpExt: 3 4 5\n";
        assert_eq!(octets(netstat, "InOctets"), Some(4.0));
        assert_eq!(octets(netstat, "OutOctets"), Some(5.0));
        for without in ["", "IpExt: InOctets\n", "IpExt: InMcastPkts\nIpExt: 1\n", "IpExt: InOctets\nIpExt: \n"] {
            assert_eq!(octets(without, "InOctets"), None, "{without}");
        }
    }
}
