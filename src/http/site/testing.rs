//! Fixtures of the unit tests.

use std::sync::Arc;
use std::sync::mpsc::{RecvError, Sender, channel};
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Site;
use crate::config;
use crate::domain::{Clock, SystemClock, UnixMillis};
use crate::http::access::Access;
use crate::http::base::caller::{Caller, Role};
use crate::http::base::limits::Limits;
use crate::http::base::quota::Quota;
use crate::stats::{Capacities, Stats};
use crate::telemetry::Telemetry;

/// A site where one scrape may be written at a time.
pub(crate) fn site() -> Arc<Site> {
    let capacities = Capacities {
        groups: 3000,
        exported_groups: 10,
        sender_pairs: 10,
        dedup_window: Duration::from_secs(60),
        online: 100,
        history_days: 40,
    };
    let stats = Stats::in_memory(capacities, UnixMillis(0)).unwrap();
    let telemetry = Telemetry::default();
    let config = config::Http {
        max_scrapes: 1,
        max_body_bytes: 1024,
        max_connections: 1,
        max_connections_per_address: 1,
        max_buffered_bytes: 1024,
        lifecycle: true,
        admin_api: true,
        ..config::Http::defaults().unwrap()
    };
    let parts = (Arc::new(stats), Arc::new(telemetry), Arc::new(SystemClock) as Arc<dyn Clock>);
    Arc::new(Site::new(parts, config, Access::default(), Limits::default(), 1))
}

/// A client on this machine.
pub(crate) fn caller() -> Caller {
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    Caller::new(Role::All, Some(Arc::new(Quota::new(1, 1)).share(address)), address)
}

/// A runtime with one thread for blocking work.
pub(crate) fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap()
}

/// Occupies that thread until the sender is dropped. Also returns the handle of its task.
pub(crate) fn occupy_thread() -> (Sender<()>, JoinHandle<Result<(), RecvError>>) {
    let (release, held) = channel();
    (release, spawn_blocking(move || held.recv()))
}
