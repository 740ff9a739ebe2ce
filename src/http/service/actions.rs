//! The lifecycle actions, if enabled: reload and quit.

use std::sync::Arc;

use super::pages::text;
use crate::domain::{AnswerUse, Reason};
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Reply, refusal};

const OFF: &str = "this endpoint is disabled; --web.enable-lifecycle enables it";

/// Reads the files of the settings again. They take effect as a whole or not at all.
pub(super) async fn reload(exchange: Exchange<'_>) -> Reply {
    let site = exchange.site;
    if !site.config.lifecycle {
        return exchange.refuse(Reason::NotFound, OFF);
    }
    let Some(turn) = site.settings.try_turn() else {
        return exchange.refuse(Reason::Overloaded, "a reload is already in progress; try again");
    };
    let reloading = Arc::clone(site);
    // The turn ends with the reload, even if the client has hung up.
    let reload = move || reloading.reload_in_turn(&turn).map_err(|error| error.to_string());
    match tokio::task::spawn_blocking(reload).await {
        Ok(Ok(())) => text("openim-exporter has reloaded its settings.\n"),
        // The reload has logged and counted the error.
        Ok(Err(error)) => refusal(Reason::BadSettings, &error, AnswerUse::Ignored),
        Err(error) => exchange.refuse(Reason::Internal, &error.to_string()),
    }
}

/// Ends the process like SIGTERM. This request is still answered.
pub(super) fn quit(exchange: Exchange<'_>) -> Reply {
    let site = exchange.site;
    if !site.config.lifecycle {
        return exchange.refuse(Reason::NotFound, OFF);
    }
    site.drain.request();
    text("openim-exporter is draining and will exit.\n")
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use tokio::task::spawn_blocking;

    use super::*;
    use crate::http::site::testing::{caller, occupy_thread, runtime, site};

    #[test]
    fn only_one_reload_runs_at_a_time_even_if_its_client_hangs_up() {
        let (site, runtime) = (site(), runtime());
        let (tracker, caller) = (site.workers.all()[0].track(), caller());
        let reload = || Box::pin(reload(Exchange::new(&site, &tracker, &caller)));
        let _within = runtime.enter();
        let (release, busy) = occupy_thread();
        let mut nobody = Context::from_waker(Waker::noop());
        let mut first = reload();
        assert!(first.as_mut().poll(&mut nobody).is_pending());
        let status = |polled: Poll<Reply>| match polled {
            Poll::Ready(reply) => reply.status().as_u16(),
            Poll::Pending => 0,
        };
        assert_eq!(status(reload().as_mut().poll(&mut nobody)), 503);
        drop(first);
        assert_eq!(status(reload().as_mut().poll(&mut nobody)), 503);
        drop(release);
        assert!(runtime.block_on(busy).unwrap().is_err());
        // The abandoned reload runs before this task.
        runtime.block_on(spawn_blocking(|| ())).unwrap();
        assert_eq!(runtime.block_on(reload()).status(), 200);
    }
}
