//! A scrape as a response's body. Scrapes that arrive together do not share their output: writing it again costs less
//! than keeping all of it for the slowest client.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::exposition::Scraper;
use crate::http::base::limits::PIECE_BYTES;
use crate::http::base::quota::{QuotaBytes, Share};
use crate::http::site::Site;
use crate::http::site::streamed::{Chunk, Unwritten};

/// Bytes of a compressed chunk. It holds the text of about ten chunks.
const COMPRESSED_BYTES: usize = PIECE_BYTES;

/// The part of a scrape that is not written yet.
pub(super) struct Scrape {
    site: Arc<Site>,
    scraper: Scraper,
    is_gzip: bool,
    /// Created with the first chunk, so that a scrape that waits for a thread takes little memory.
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// The time spent on writing so far.
    took: Duration,
    /// Its share of the quota. The written chunks keep it too.
    share: Arc<Share>,
}

impl Scrape {
    pub(super) fn new(site: &Arc<Site>, scraper: Scraper, is_gzip: bool, share: Share) -> Self {
        let site = Arc::clone(site);
        Self { site, scraper, is_gzip, gzip: None, took: Duration::ZERO, share: Arc::new(share) }
    }

    fn write_plain(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let mut text = Vec::new();
        let has_more = self.scraper.next_chunk(&mut text).map_err(|removed| {
            self.site.telemetry.scrape_cut_off();
            io::Error::other(removed)
        })?;
        Ok((text, has_more))
    }

    fn write_compressed(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let mut gzip = self.gzip.take().unwrap_or_else(|| GzEncoder::new(Vec::new(), Compression::fast()));
        loop {
            let (text, has_more) = self.write_plain()?;
            gzip.write_all(&text)?;
            if !has_more {
                return Ok((gzip.finish()?, false));
            }
            if gzip.get_ref().len() >= COMPRESSED_BYTES {
                let bytes = std::mem::take(gzip.get_mut());
                self.gzip = Some(gzip);
                return Ok((bytes, true));
            }
        }
    }
}

impl Unwritten for Scrape {
    fn write_chunk(mut self: Box<Self>) -> io::Result<Chunk> {
        let begin = Instant::now();
        if self.scraper.series() == 0 {
            self.site.update_gauges();
        }
        let (bytes, has_more) = if self.is_gzip { self.write_compressed() } else { self.write_plain() }?;
        self.took += begin.elapsed();
        if !has_more {
            let (telemetry, series) = (&self.site.telemetry, self.scraper.series());
            if self.scraper.is_whole() {
                telemetry.scraped(series, self.took);
            } else {
                telemetry.part_scraped(series, self.took);
            }
        }
        let bytes = Bytes::from_owner(QuotaBytes::new(bytes, Arc::clone(&self.share)));
        Ok(Chunk { bytes, rest: has_more.then_some(self as Box<dyn Unwritten>) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::mpsc::channel;
    use std::task::{Context, Waker};
    use std::thread;

    use super::*;
    use crate::domain::{Event, Message, UnixMillis};
    use crate::exposition::{Format, GroupRemoved, Scope};
    use crate::http::base::connections::Tracker;
    use crate::http::site::streamed::Streamed;
    use crate::http::site::testing::{occupy_thread, runtime, site};
    use crate::telemetry::Samples;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A scrape whose first chunk has been requested.
    fn begun(site: &Arc<Site>, tracker: &Tracker) -> Streamed {
        let share = site.quotas.scrapes.take_one(CLIENT).unwrap();
        let scraper = site.scraper(Scope::Metrics, Format::Text);
        let mut body = Streamed::new(Box::new(Scrape::new(site, scraper, true, share)), tracker);
        // On a busy machine, the chunk may be written already.
        let _ = body.poll_written(&mut Context::from_waker(Waker::noop()));
        body
    }

    fn is_share_free(site: &Site) -> bool {
        site.quotas.scrapes.take_one(CLIENT).is_some()
    }

    fn wait_for_a_free_share(site: &Site) {
        let begin = Instant::now();
        while !is_share_free(site) {
            assert!(begin.elapsed() < Duration::from_secs(20), "the share is never returned");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn scrape_count(site: &Site) -> u64 {
        let families = site.telemetry.samples(&|name| name == "openim_exporter_scrape_duration_seconds");
        let [(_, Samples::Histogram { count, .. })] = families.as_slice() else { panic!("{families:?}") };
        *count
    }

    #[test]
    fn a_waiting_chunk_of_a_client_that_hangs_up_keeps_its_share_and_is_not_written() {
        let (site, runtime) = (site(), runtime());
        let _within = runtime.enter();
        let (release, busy) = occupy_thread();
        let tracker = site.workers.all()[0].track();
        drop(begun(&site, &tracker));
        assert!(!is_share_free(&site));
        drop(release);
        assert!(runtime.block_on(busy).unwrap().is_err());
        wait_for_a_free_share(&site);
        assert_eq!((scrape_count(&site), Arc::strong_count(&site)), (0, 1));
    }

    #[test]
    fn a_chunk_in_progress_keeps_its_share_until_written_even_if_the_client_hangs_up() {
        let (site, runtime) = (site(), runtime());
        let _within = runtime.enter();
        let tracker = site.workers.all()[0].track();
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            let (release, held) = channel::<()>();
            let connections = &site.workers.all()[0];
            scope.spawn(move || {
                // Writing a scrape reads the connections first, and has to wait for this.
                connections.sweep(0, |_| {
                    sender.send(()).unwrap();
                    assert!(held.recv().is_err());
                });
            });
            receiver.recv().unwrap();
            let body = begun(&site, &tracker);
            // Usually enough for the scrape to be in progress. On a very busy machine it may still wait for a thread,
            // and then be dropped at any moment: its share may be free, but only once the scrape is gone.
            thread::sleep(Duration::from_millis(200));
            drop(body);
            thread::sleep(Duration::from_millis(50));
            assert!(!is_share_free(&site) || Arc::strong_count(&site) == 1);
            drop(release);
        });
        wait_for_a_free_share(&site);
        assert_eq!(Arc::strong_count(&site), 1);
    }

    #[test]
    fn a_complete_scrape_returns_its_share() {
        let (site, runtime) = (site(), runtime());
        let _within = runtime.enter();
        let tracker = site.workers.all()[0].track();
        let mut body = begun(&site, &tracker);
        runtime.block_on(std::future::poll_fn(|cx| body.poll_written(cx))).unwrap();
        assert!(body.len().is_some_and(|len| len > 0) && !is_share_free(&site));
        drop(body);
        assert!(is_share_free(&site));
        assert_eq!(scrape_count(&site), 1);
    }

    #[test]
    fn a_scrape_that_is_cut_off_because_a_group_was_removed_is_counted() {
        let (site, name) = (site(), "openim_exporter_connections_ended_total");
        let cut_off = || match site.telemetry.samples(&|family| family == name).remove(0).1 {
            Samples::ByLabel(counts) => counts.into_iter().find(|(reason, _)| *reason == "group_removed"),
            samples => panic!("{samples:?}"),
        };
        // More groups than are written at once.
        for group in 0..3000 {
            site.stats.record(&Message::of(&format!("g{group}"), "u"), site.now());
        }
        let share = site.quotas.scrapes.take_one(CLIENT).unwrap();
        let scraper = site.scraper(Scope::Groups, Format::Protobuf);
        let first = Box::new(Scrape::new(&site, scraper, false, share)).write_chunk().unwrap();
        // The groups stay for ten seconds.
        site.stats.record_event(Event::Dismissal("g2999"), UnixMillis(site.now().0 + 10_000));
        assert_eq!(cut_off(), Some(("group_removed", 0)));
        let (mut rest, mut end) = (first.rest, Ok(()));
        while let Some(unwritten) = rest {
            (rest, end) = match unwritten.write_chunk() {
                Ok(chunk) => (chunk.rest, Ok(())),
                Err(error) => (None, Err(error.to_string())),
            };
        }
        assert_eq!((end, cut_off()), (Err(GroupRemoved.to_string()), Some(("group_removed", 1))));
        assert_eq!(scrape_count(&site), 0);
    }
}
