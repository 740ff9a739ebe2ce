//! The time of an observation in a histogram with classic and native buckets, compared with the `prometheus` crate's
//! histogram, which has only classic ones. On one thread, and on two that observe the same values.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::hint::black_box;
use std::io::Write;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use openim_exporter::domain::{Mentions, Message, Source, Stage, UnixMillis};
use openim_exporter::stats::Stats;
use openim_exporter::telemetry::Telemetry;
use prometheus::{Histogram, HistogramOpts};
use rustix::time::{ClockId, clock_gettime};
use support::messages::filled;
use support::{Failure, median, verdict};

const ROUNDS: usize = 9;
const OBSERVATIONS: usize = 400_000;

/// The most that an observation may take on a single thread: in nanoseconds, and as a share of the reference's time.
const BUDGET_NS: f64 = 20.0;
const BUDGET: f64 = 0.5;

const NOW: UnixMillis = UnixMillis(1_732_345_678_901);

/// Times in microseconds from 30 us to 0.5 s, evenly over the buckets and in no order.
fn times_us() -> Vec<u64> {
    (0..4096_u64).map(|number| 30 << (number * 2_654_435_761 % 4096 * 14 / 4096)).collect()
}

/// What is measured.
struct Subjects {
    times_us: Vec<u64>,
    reference: Histogram,
    telemetry: Telemetry,
    stats: Stats,
}

impl Subjects {
    /// This thread's medians: the time of an observation in the reference, of a callback's duration, and of a message's
    /// delay. All threads observe the same values at the same time.
    fn measure(&self, start: &Barrier) -> [f64; 3] {
        let mut found = [const { Vec::new() }; 3];
        for round in 0..=ROUNDS {
            let with = self.each(start, |us| {
                black_box(self.stats.record(&message(Some(us / 100)), NOW));
            });
            let without = self.each(start, |us| {
                black_box(message(Some(us / 100)));
                black_box(self.stats.record(&message(None), NOW));
            });
            let times = [
                self.each(start, |us| self.reference.observe(Duration::from_micros(us).as_secs_f64())),
                self.each(start, |us| self.telemetry.callback_answered(Duration::from_micros(us))),
                // Such a message has two delays.
                (with - without) / 2.0,
            ];
            if round > 0 {
                found.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
            }
        }
        found.map(median)
    }

    /// This thread's CPU time for each observation, in nanoseconds.
    fn each(&self, start: &Barrier, observe: impl Fn(u64)) -> f64 {
        start.wait();
        let begin = cpu_ns();
        self.times_us.iter().cycle().take(OBSERVATIONS).for_each(|us| observe(black_box(*us)));
        (cpu_ns() - begin) / OBSERVATIONS as f64
    }
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// A message between two users. With a delay, both delays are observed, in milliseconds.
fn message(delay_ms: Option<u64>) -> Message<'static> {
    let before = |delays: i64| delay_ms.map(|delay| UnixMillis(NOW.0 - delays * delay.cast_signed()));
    Message {
        group_id: None,
        stage: Stage::Sent,
        sender_id: "5318432619",
        content_type: 101,
        platform_id: delay_ms.map_or(0, |delay| (delay % 10) as i32),
        source: Source::User,
        status: 2,
        content_bytes: 19,
        mentions: Mentions::default(),
        server_msg_id: "",
        operation_id: "",
        send_time: before(1),
        create_time: before(2),
    }
}

fn main() -> Result<(), Failure> {
    let bounds = (0..16).map(|power| 50e-6 * f64::from(1 << power)).collect();
    let subjects = Subjects {
        times_us: times_us(),
        reference: Histogram::with_opts(HistogramOpts::new("duration", "Duration.").buckets(bounds))?,
        telemetry: Telemetry::default(),
        stats: filled(1, 100, Duration::ZERO)?,
    };
    let mut out = std::io::stdout();
    writeln!(out, "\n## Histograms: {ROUNDS} rounds of {OBSERVATIONS} observations, medians\n")?;
    writeln!(out, "| Threads | `prometheus`, ns | Callback duration, ns | Ratio | Delay of a message, ns | Ratio |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let mut alone = 0.0;
    for threads in [1, 2] {
        let start = Barrier::new(threads);
        let of_threads: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| subjects.measure(&start))).collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let [reference, duration, delay] = [0, 1, 2].map(|which| median(of_threads.iter().map(|times| times[which])));
        let shown = |time: f64| format!("{time:.1} | {}", verdict(time / reference, BUDGET));
        writeln!(out, "| {threads} | {reference:.1} | {} | {} |", shown(duration), shown(delay))?;
        if threads == 1 {
            alone = f64::max(duration, delay);
        }
    }
    writeln!(out, "\n- one thread, compared with {BUDGET_NS} ns: {}\n", verdict(alone / BUDGET_NS, 1.0))?;
    Ok(())
}
