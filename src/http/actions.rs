//! What a request may have the process do, where that is allowed.

use std::sync::Arc;

use super::pages::said;
use super::reply::Reply;
use super::service::refused;
use super::site::Site;
use crate::telemetry::Reason;

const OFF: &str = "this is off; --web.enable-lifecycle turns it on";

/// Reads the files of the settings again. They take effect whole or not at all.
pub(super) async fn reload(site: &Arc<Site>) -> Reply {
    if !site.config.lifecycle {
        return refused(site, Reason::NotFound, OFF);
    }
    let reloading = Arc::clone(site);
    match tokio::task::spawn_blocking(move || reloading.reload().map_err(|error| error.to_string())).await {
        Ok(Ok(())) => said("openim-exporter has read its settings again.\n"),
        Ok(Err(error)) => refused(site, Reason::Internal, &error),
        Err(error) => refused(site, Reason::Internal, &error.to_string()),
    }
}

/// Ends the process as SIGTERM does; this request is still answered.
pub(super) fn quit(site: &Site) -> Reply {
    if !site.config.lifecycle {
        return refused(site, Reason::NotFound, OFF);
    }
    site.ask_to_quit();
    said("openim-exporter is draining, and will end.\n")
}
