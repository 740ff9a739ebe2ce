//! Forwarding: callbacks are passed on to targets.
//!
//! A callback goes into the spool of each target that gets a copy, and is answered at once. A thread for each target
//! delivers from its spool (`delivery`). One more thread maintains all spools. If a target answers the callback, the
//! callback is passed through, and its answer is awaited (`answer`).

mod answer;
mod breaker;
mod client;
mod delivery;
mod request;
mod target;
mod upkeep;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::config::forward::{Forward, Target};
use crate::domain::{Clock, FileSync};
use crate::spool::{self, Limits, Part, Reader, Record, Spool};
use crate::telemetry::Telemetry;
use answer::Answering;
pub(crate) use answer::{Answer, Context, Passed, Waiting};
use breaker::Breaker;
use client::{Client, tls};
use delivery::Worker;
pub(crate) use request::is_own;
use target::TargetHandle;
use upkeep::Upkeep;

/// How long a reload waits for the thread of a removed target.
const REMOVAL: Duration = Duration::from_secs(2);

/// Why a target cannot be used. Says which one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its spool cannot be opened.
    #[error("the spool {path} of the target {name} cannot be opened: {1}", path = .0.display(), name = .2)]
    Spool(PathBuf, io::Error, String),
    /// Its TLS cannot be set up.
    #[error("the target {0}: {1}")]
    Tls(String, String),
    /// A thread cannot be started.
    #[error("cannot start the thread that forwards: {0}; raise the limit of threads (TasksMax, ulimit -u)")]
    Thread(io::Error),
}

/// The targets, their spools and threads.
pub struct Forwarding {
    /// In the order of the settings.
    targets: Arc<ArcSwap<Vec<Arc<TargetHandle>>>>,
    /// The delivery of each target. A reload takes them out while it changes them.
    workers: Mutex<Vec<Worker>>,
    /// A reload after the end starts nothing.
    is_stopped: AtomicBool,
    upkeep: Upkeep,
    answering: Answering,
    /// The directory of the spools.
    directory: PathBuf,
    sync: FileSync,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
}

impl Forwarding {
    /// Opens the spools in a directory, and starts the threads. `max_answer_bytes` is the largest body of an answer to a
    /// callback that is passed through.
    ///
    /// # Errors
    /// When a spool cannot be opened or a thread cannot be started.
    pub fn start(
        forward: &Forward,
        (directory, sync): (&Path, FileSync),
        max_answer_bytes: usize,
        (telemetry, clock): (Arc<Telemetry>, Arc<dyn Clock>),
    ) -> Result<Self, Error> {
        let targets = Arc::new(ArcSwap::default());
        let upkeep = Upkeep::start(Arc::clone(&targets), Arc::clone(&clock));
        let forwarding = Self {
            targets,
            workers: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            upkeep: upkeep.map_err(Error::Thread)?,
            answering: Answering::start(Arc::clone(&clock), max_answer_bytes).map_err(Error::Thread)?,
            directory: directory.to_owned(),
            sync,
            telemetry,
            clock,
        };
        for (target, applied) in forwarding.replace(forward) {
            applied.inspect_err(|_| forwarding.telemetry.remove_target(&target))?;
        }
        forwarding.report_spools_without_target();
        Ok(forwarding)
    }

    /// Applies reloaded settings: new targets get a spool and a thread, and the threads of removed ones end. Their
    /// spools stay on the disk. A target that cannot be used is logged.
    pub fn apply(&self, forward: &Forward) {
        for (target, applied) in self.replace(forward) {
            if let Err(error) = applied {
                self.telemetry.add_target(&target).not_applied(&error);
            }
        }
    }

    /// Appends a callback to the spools of all targets that get a copy.
    #[inline]
    pub(crate) fn spool(&self, callback: &Record<'_>) {
        let targets = self.targets.load();
        for target in targets.iter().filter(|target| target.gets_copy(callback)) {
            target.telemetry.received();
            if let Err(error) = target.spool.append(callback) {
                target.telemetry.not_stored(&error);
            }
        }
    }

    /// The target that answers a callback, if there is one.
    pub(crate) fn answering(&self, callback: &Record<'_>) -> Option<Arc<TargetHandle>> {
        self.targets.load().iter().find(|target| target.answers(callback)).cloned()
    }

    /// Passes a callback through to a target.
    pub(crate) fn pass(&self, target: &Arc<TargetHandle>, callback: &Record<'_>, context: Context) -> Passed {
        self.answering.pass(target, callback, context)
    }

    /// From this time on, the policies answer the callbacks that wait for a target.
    pub(crate) fn drain(&self, until: Instant) {
        self.answering.drain(until);
    }

    /// Ends the deliveries, by this time at the latest. Pending callbacks stay in the spools.
    pub fn stop(&self, deadline: Instant) {
        self.is_stopped.store(true, Ordering::Relaxed);
        end(std::mem::take(&mut *self.workers.lock()), deadline);
        self.upkeep.stop(deadline);
    }

    /// Replaces the targets. Returns how each one fared.
    fn replace(&self, forward: &Forward) -> Vec<(String, Result<(), Error>)> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut before = std::mem::take(&mut *self.workers.lock());
        let (mut workers, mut outcomes) = (Vec::new(), Vec::new());
        for target in &forward.targets {
            let known = before.iter().position(|worker| worker.target().target.name == target.name);
            let applied = match known.map(|place| before.swap_remove(place)) {
                Some(worker) => self.change(worker, target),
                None => self.add(target).map_err(|error| (None, error)),
            };
            let outcome = match applied {
                Ok(worker) => {
                    workers.push(worker);
                    Ok(())
                }
                Err((kept, error)) => {
                    workers.extend(kept);
                    Err(error)
                }
            };
            outcomes.push((target.name.clone(), outcome));
        }
        self.targets.store(Arc::new(workers.iter().map(Worker::target).collect()));
        *self.workers.lock() = workers;
        if self.is_stopped.load(Ordering::Relaxed) {
            // The end came meanwhile, and found no threads.
            end(std::mem::take(&mut *self.workers.lock()), Instant::now() + REMOVAL);
        }
        let removed: Vec<_> = before.iter().map(Worker::target).collect();
        end(before, Instant::now() + REMOVAL);
        for target in removed {
            self.telemetry.remove_target(&target.target.name);
            let figures = target.spool.figures();
            self.telemetry.spool_without_target(&target.target.name, figures.pending, figures.pending_bytes);
        }
        outcomes
    }

    /// Opens a target's spool, and starts its thread.
    fn add(&self, target: &Arc<Target>) -> Result<Worker, Error> {
        let tls = tls(target).map_err(|problem| Error::Tls(target.name.clone(), problem))?;
        let (spool, reader) = self.open(target)?;
        let telemetry = self.telemetry.add_target(&target.name);
        let handle = TargetHandle {
            breaker: Arc::new(Breaker::new(target.breaker, Arc::clone(&telemetry))),
            answer_client: Client::new(target, &tls),
            target: Arc::clone(target),
            tls,
            telemetry,
            spool,
            in_flight: Arc::default(),
        };
        let worker = Worker::start(Arc::new(handle), reader, Arc::clone(&self.clock)).map_err(Error::Thread)?;
        self.report(target);
        Ok(worker)
    }

    fn report(&self, target: &Target) {
        self.telemetry.forwarding(&target.name, target.url.authority(), target.answers.is_some());
    }

    fn open(&self, target: &Target) -> Result<(Arc<Spool>, Reader), Error> {
        let path = self.directory.join(&target.name);
        Spool::open(&path, self.limits(target)).map_err(|error| Error::Spool(path, error, target.name.clone()))
    }

    const fn limits(&self, target: &Target) -> Limits {
        Limits { max_bytes: target.max_bytes, max_age: target.max_age, sync: self.sync }
    }

    /// Gives a target its new settings. If that fails, it keeps the old ones.
    fn change(&self, worker: Worker, target: &Arc<Target>) -> Result<Worker, (Option<Worker>, Error)> {
        let before = worker.target();
        if before.target == *target {
            return Ok(worker);
        }
        match tls(target) {
            Ok(tls) => {
                before.breaker.set(target.breaker);
                before.spool.set_limits(self.limits(target));
                worker.set(Arc::new(before.with(target, tls)));
                self.report(target);
                Ok(worker)
            }
            Err(problem) => Err((Some(worker), Error::Tls(target.name.clone(), problem))),
        }
    }

    /// Logs which callbacks on the disk belong to no target.
    fn report_spools_without_target(&self) {
        let targets = self.targets.load();
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !targets.iter().any(|target| target.target.name == name) {
                let pending = spool::list(&entry.path(), Part::Pending).unwrap_or_default();
                self.telemetry.spool_without_target(&name, pending.records, pending.bytes);
            }
        }
    }
}

/// Ends threads, by this time at the latest.
fn end(workers: Vec<Worker>, deadline: Instant) {
    workers.iter().for_each(|worker| worker.stop(deadline));
    workers.into_iter().for_each(|worker| worker.join(deadline));
}
