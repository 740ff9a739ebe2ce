//! For fuzzing and tests: rounds at any time, and the readers of values.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::exchange::Exchange;
use super::keys::Name;
use super::link::{Failure, Link};
use super::manifest::Manifest;
use super::place::Current;
use super::{disconnects, groups, registers};
use crate::domain::{Calendar, UnixMillis};
use crate::stats::hyperloglog::Union;
use crate::stats::{Candidate, Disconnect, Stats};
use crate::telemetry::Telemetry;

/// An exporter whose rounds run on request.
pub struct Exporter {
    exchange: Exchange,
    link: Link,
}

impl Exporter {
    /// An exporter with this name. `None` if the name is not valid.
    #[must_use]
    pub fn new(link: Link, name: &str, stats: &Arc<Stats>, telemetry: &Telemetry) -> Option<Self> {
        let name = Name::parse(name.as_bytes())?;
        let exchange = Exchange::new(&name, stats, &telemetry.add_replicas(), &Arc::new(AtomicBool::new(false)));
        Some(Self { exchange, link })
    }

    /// Writes what is new, at this time by Redis' clock and by the machine's.
    ///
    /// # Errors
    /// When Redis does not accept it.
    pub fn write(&mut self, redis: UnixMillis, machine: UnixMillis) -> Result<(), Failure> {
        self.exchange.write(&mut self.link, redis, machine)
    }

    /// Reads what is new, and publishes the united numbers.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn read(&mut self, redis: UnixMillis, machine: UnixMillis) -> Result<(), Failure> {
        self.exchange.read(&mut self.link, redis, machine)
    }
}

/// The registers in a value of Redis.
#[must_use]
pub fn unpack_registers(value: &[u8]) -> Option<Union> {
    registers::unpack(value)
}

/// The value of Redis for registers.
#[must_use]
pub fn pack_registers(registers: &Union) -> Vec<u8> {
    registers::pack(registers)
}

/// Reads a manifest at this time by Redis' clock, and writes it again.
#[must_use]
pub fn manifest(json: &[u8], now: UnixMillis) -> Option<Vec<u8>> {
    Some(Manifest::parse(json, now, &Current::at(now, &Calendar::default()))?.to_json())
}

/// Reads candidates for the exported groups, at this time by Redis' clock.
#[must_use]
pub fn groups(json: &[u8], now: UnixMillis) -> Option<Vec<Candidate>> {
    groups::parse(json, now)
}

/// Writes candidates.
#[must_use]
pub fn groups_to_json(candidates: &[Candidate]) -> Vec<u8> {
    groups::to_json(candidates)
}

/// The groups that all exporters export, each with the time since which it has been exported.
#[must_use]
pub fn agree(candidates: &[Vec<Candidate>], limit: usize, now: UnixMillis) -> Vec<(String, UnixMillis)> {
    let mut all = groups::Candidates::default();
    candidates.iter().for_each(|candidates| all.add(candidates.clone()));
    all.agree(limit, now)
}

/// Reads users who went offline, at this time by Redis' clock.
#[must_use]
pub fn disconnects(bytes: &[u8], now: UnixMillis) -> Option<Vec<Disconnect>> {
    disconnects::parse(bytes, now)
}
