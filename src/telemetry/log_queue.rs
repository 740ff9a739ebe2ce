//! The queue between the program and standard error, so that only one thread ever waits for the reader of the log.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::events::Telemetry;

/// Maximum size of all queued lines in bytes: a few thousand lines. Further ones are dropped.
const MAX_QUEUED_BYTES: usize = 1 << 20;

/// Time between two checks of something that sends no notification.
const POLL: Duration = Duration::from_millis(5);

/// The lines that are waiting to be written. Dropped lines are counted.
pub(crate) struct LogQueue {
    lines: Sender<String>,
    shared: Arc<Shared>,
}

/// Shared with the writing thread.
struct Shared {
    /// Includes the line that is being written.
    queued_bytes: AtomicUsize,
    telemetry: Arc<Telemetry>,
}

impl LogQueue {
    /// Starts the thread that writes the lines.
    pub(super) fn start(output: impl Write + Send + 'static, telemetry: &Arc<Telemetry>) -> io::Result<Self> {
        let shared = Arc::new(Shared { queued_bytes: AtomicUsize::new(0), telemetry: Arc::clone(telemetry) });
        let (lines, queued) = mpsc::channel();
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write(&queued, output))?;
        Ok(Self { lines, shared })
    }

    /// Queues a line, or drops it if the queue is full. Never waits.
    pub(super) fn push(&self, line: String) {
        let len = line.len();
        if self.shared.queued_bytes.fetch_add(len, Ordering::Relaxed) + len > MAX_QUEUED_BYTES {
            self.shared.queued_bytes.fetch_sub(len, Ordering::Relaxed);
            self.shared.telemetry.log_line_dropped();
            return;
        }
        // The writing thread never ends.
        let _ = self.lines.send(line);
    }

    /// Waits until all lines are written, at most this long.
    pub(crate) fn flush(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        while self.shared.queued_bytes.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

impl Shared {
    fn write(&self, queued: &Receiver<String>, mut output: impl Write) {
        let mut reported = 0;
        for line in queued {
            let written = write_whole(&mut output, line.as_bytes());
            self.queued_bytes.fetch_sub(line.len(), Ordering::Release);
            let dropped = self.telemetry.dropped_log_lines();
            if written.is_err() {
                self.telemetry.log_line_dropped();
            } else if dropped > reported {
                // Queued like any other line, for which the queue has space now.
                self.telemetry.log_resumed(dropped - reported);
                reported = dropped;
            }
        }
    }
}

/// Like [`Write::write_all`], but also works if another process has made standard error non-blocking.
fn write_whole(output: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match output.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = line.split_at(written).1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(POLL),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
