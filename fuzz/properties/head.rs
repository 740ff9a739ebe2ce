//! An HTTP/1 connection, with any bytes in any pieces: everything that the client receives is HTTP/1, each refusal is
//! JSON in OpenIM's format, and exactly the counted messages are answered with success.

use openim_exporter::http::{Limits, Role, fuzz};
use openim_exporter::wire::SUCCESS;
use tokio::runtime::Runtime;

use super::exporter::Exporter;
use super::responses::{self, Response};

/// Lengths of the pieces in which the bytes arrive.
const PIECES: [usize; 8] = [usize::MAX, 1, 3, 7, 16, 33, 64, 200];

const ROLES: [Role; 4] = [Role::All, Role::All, Role::Callbacks, Role::Telemetry];

thread_local! {
    static BUSY: Bench = Bench::new(0);
    static READY: Bench = Bench::new(2);
}

/// The first byte selects the site, the socket and the pieces. Scrapes and API answers are refused as too many, because
/// they take a thousand times as long as everything else.
pub(crate) fn holds(bytes: &[u8]) {
    BUSY.with(|bench| bench.talk(bytes));
}

/// The same, with scrapes allowed.
pub(crate) fn holds_with_scrapes(bytes: &[u8]) {
    READY.with(|bench| bench.talk(bytes));
}

struct Bench {
    runtime: Runtime,
    /// One without access control, and one that requires a secret.
    exporters: [Exporter; 2],
}

impl Bench {
    fn new(max_scrapes: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let limits = Limits::default();
        Self { runtime, exporters: [Exporter::open, Exporter::guarded].map(|new| new(limits, max_scrapes, true)) }
    }

    fn talk(&self, bytes: &[u8]) {
        let Some((how, bytes)) = bytes.split_first() else { return };
        let exporter = &self.exporters[usize::from(how >> 5 & 1)];
        let pieces: Vec<_> = bytes.chunks(PIECES[usize::from(how >> 2 & 7)]).collect();
        let role = ROLES[usize::from(how & 3)];
        let received = self.runtime.block_on(fuzz::serve_http1(&exporter.site, role, &pieces));
        let responses = responses::parse(&received);
        let successes =
            responses.iter().filter(|response| response.status == 200 && response.body == SUCCESS.as_bytes());
        let refusals = responses.iter().filter(|response| response.status >= 400);
        // Only a POST is a callback, and reading these counts is slow.
        let may_have_callbacks = bytes.windows(4).any(|window| window == b"POST");
        let counted = exporter.count(may_have_callbacks);
        assert_eq!(counted.callbacks, successes.count() as u64);
        assert_eq!(counted.messages, counted.message_callbacks);
        // A failed reload has its own counter. Here, the settings with a secret cannot be reloaded.
        let rejections = refusals.clone().filter(|response| response.status != 500);
        assert_eq!(counted.rejections, rejections.count() as u64);
        refusals.for_each(Response::is_in_the_sender_s_form);
        let heads = bytes.windows(4).filter(|window| window == b"HEAD").count();
        assert!(responses.iter().filter(|response| response.is_bodyless).count() <= heads);
    }
}
