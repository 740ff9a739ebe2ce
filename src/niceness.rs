//! The priority of threads that do not answer callbacks.

/// Gives a thread about a tenth of the processor time of a serving thread when both want it.
const NICENESS: i32 = 10;

/// Lowers the priority of the calling thread: on Linux, of this thread only. Threads that write scrapes or verify
/// passwords must not delay callbacks. Where this is not allowed, the thread keeps its priority.
pub(crate) fn lower_priority() {
    let _ = rustix::process::nice(NICENESS);
}
