//! Erases a group or a person on request, if enabled.

use std::borrow::Cow;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hyper::{Uri, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::api::{JSON, not_cached, parse_none};
use crate::domain::Reason;
use crate::http::site::Site;
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Reply, with_header};
use crate::stats::{ErasedGroup, ErasedUser, Paused};
use crate::telemetry::Erasure;

const OFF: &str = "this endpoint is disabled; --web.enable-admin-api enables it";

/// How long an erasure waits for readers of all groups. Most take milliseconds; the request itself has five seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// What was erased.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Erased {
    Group { group_id: String, messages_folded: u64, sender_pairs: usize },
    User { user_id: String, sender_pairs: usize, users_online: usize },
}

/// Erases the group or the person whose ID is the path's last segment.
pub(super) async fn erase(exchange: Exchange<'_>, kind: Erasure, uri: &Uri) -> Reply {
    let site = exchange.site;
    if !site.config.admin_api {
        return exchange.refuse(Reason::NotFound, OFF);
    }
    if let Err(detail) = parse_none(uri.query().unwrap_or_default()) {
        return exchange.refuse(Reason::BadQuery, &detail);
    }
    let encoded = uri.path().rsplit('/').next().unwrap_or_default();
    let Ok(id) = percent_decode_str(encoded).decode_utf8().map(Cow::into_owned) else {
        return exchange.refuse(Reason::MalformedRequest, "the ID in the path is not percent-encoded UTF-8");
    };
    let Ok(turn) = Arc::clone(&site.erasing).try_lock_owned() else {
        return busy(exchange, "another erasure is in progress; try again");
    };
    let (erasing, client) = (Arc::clone(site), exchange.client);
    let erase = move || {
        // The turn ends with the erasure, even if the client has hung up.
        let _turn = turn;
        let Some(erased) = erase_in_turn(&erasing, kind, &id)? else { return Ok(None) };
        // Both may contain what was erased.
        erasing.recent_groups.clear();
        erasing.telemetry.forget_refusals(&id);
        erasing.telemetry.erased(kind, client);
        Ok(Some(serde_json::to_vec(&erased)))
    };
    match tokio::task::spawn_blocking(erase).await {
        Ok(Ok(Some(Ok(json)))) => not_cached(JSON, json),
        Ok(Ok(Some(Err(error)))) => exchange.refuse(Reason::Internal, &error.to_string()),
        // Without the ID, which would then be in the log.
        Ok(Ok(None)) => exchange.refuse(Reason::NotFound, "nothing that can be erased is stored under this ID"),
        Ok(Err(Paused)) => busy(exchange, "all groups are being read; try again"),
        Err(error) => exchange.refuse(Reason::Internal, &error.to_string()),
    }
}

fn busy(exchange: Exchange<'_>, detail: &str) -> Reply {
    with_header(exchange.refuse(Reason::Overloaded, detail), header::RETRY_AFTER, "1")
}

/// What was erased; `None` if there was nothing.
fn erase_in_turn(site: &Site, kind: Erasure, id: &str) -> Result<Option<Erased>, Paused> {
    let of_group = |ErasedGroup { name: group_id, messages: messages_folded, sender_pairs }| Erased::Group {
        group_id,
        messages_folded,
        sender_pairs,
    };
    Ok(match kind {
        Erasure::Group => erase_group(site, id)?.map(of_group),
        Erasure::User => {
            let ErasedUser { sender_pairs, online: users_online } = site.stats.erase_user(id);
            let is_known = sender_pairs + users_online > 0;
            is_known.then(|| Erased::User { user_id: id.to_owned(), sender_pairs, users_online })
        }
    })
}

/// Erases a group as soon as nobody reads all groups.
fn erase_group(site: &Site, id: &str) -> Result<Option<ErasedGroup>, Paused> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match site.stats.erase_group(id, site.now()) {
            Err(Paused) if Instant::now() < deadline => sleep(PAUSE),
            erased => return erased,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::domain::Message;
    use crate::http::site::testing::{caller, occupy_thread, runtime, site};

    #[test]
    fn only_one_erasure_runs_at_a_time_and_it_waits_for_readers_of_all_groups() {
        let (site, runtime) = (site(), runtime());
        let (tracker, caller) = (site.workers.all()[0].track(), caller());
        let uri = Uri::from_static("/api/v1/groups/g%31");
        let erase = || Box::pin(erase(Exchange::new(&site, &tracker, &caller), Erasure::Group, &uri));
        let status = |reply: &Reply| (reply.status().as_u16(), reply.headers().contains_key(header::RETRY_AFTER));
        site.stats.record(&Message::of("g1", "u"), site.now());
        let _within = runtime.enter();
        let (release, busy) = occupy_thread();
        let mut nobody = Context::from_waker(Waker::noop());
        let mut first = erase();
        assert!(first.as_mut().poll(&mut nobody).is_pending());
        let Poll::Ready(second) = erase().as_mut().poll(&mut nobody) else { panic!("it waits") };
        assert_eq!(status(&second), (503, true));
        drop(release);
        assert!(runtime.block_on(busy).unwrap().is_err());
        assert_eq!(status(&runtime.block_on(first)), (200, false));
        assert_eq!(status(&runtime.block_on(erase())), (404, false));

        site.stats.record(&Message::of("g1", "u"), site.now());
        let reading = site.stats.pause_retirement(site.now());
        assert_eq!(status(&runtime.block_on(erase())), (503, true));
        std::thread::spawn(move || {
            sleep(PAUSE);
            drop(reading);
        });
        assert_eq!(status(&runtime.block_on(erase())), (200, false));
        assert_eq!(site.stats.folded_erased(), 2);
    }
}
