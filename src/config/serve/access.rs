//! The flags about who may do what, and how much of it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{addresses, bytes, refused};
use crate::config::{Access, Error, Networks};

/// The largest limit of connections: what Linux lets a process open, unless told otherwise.
/// <https://docs.kernel.org/admin-guide/sysctl/fs.html#nr-open>
const MOST_CONNECTIONS: usize = 1 << 20;

/// The flags of `serve` about who may do what, and how much of it.
#[derive(Clone, Debug, Args)]
pub(super) struct AccessFlags {
    /// Address to serve metrics, pages and the API at, apart from callbacks: host:port
    ///
    /// The other addresses then take callbacks and answer /-/healthy and /-/ready, and nothing else. May be given more
    /// than once, or as a list with commas.
    #[arg(
        long = "web.telemetry-address",
        value_name = "HOST:PORT",
        env = "OPENIM_EXPORTER_WEB_TELEMETRY_ADDRESS",
        value_delimiter = ','
    )]
    telemetry_listen: Vec<String>,

    /// File with TLS, passwords and headers, in the format that Prometheus' exporters share
    ///
    /// See docs/web-config.md. It and what it names are read again when they change, on SIGHUP, and by POST /-/reload.
    #[arg(long = "web.config.file", value_name = "FILE", env = "OPENIM_EXPORTER_WEB_CONFIG_FILE")]
    web_config: Option<PathBuf>,

    /// Takes POST /-/reload and POST /-/quit
    #[arg(
        long = "web.enable-lifecycle",
        env = "OPENIM_EXPORTER_WEB_ENABLE_LIFECYCLE",
        value_parser = BoolishValueParser::new()
    )]
    pub(super) lifecycle: bool,

    /// Connections in all; more get 503
    #[arg(
        long = "web.max-connections",
        value_name = "N",
        env = "OPENIM_EXPORTER_WEB_MAX_CONNECTIONS",
        default_value = "10000"
    )]
    pub(super) max_connections: usize,

    /// Connections from one address (of IPv6: from one /64); more get 503
    ///
    /// The default is --web.max-connections, if that is lower.
    #[arg(
        long = "web.max-connections-per-address",
        value_name = "N",
        env = "OPENIM_EXPORTER_WEB_MAX_CONNECTIONS_PER_ADDRESS",
        default_value = "5000"
    )]
    pub(super) max_connections_per_address: usize,

    /// File with a secret: callbacks are taken only at paths that begin with /SECRET/
    ///
    /// 16 to 256 letters, digits and - . _ ~, as of: openssl rand -hex 16. OpenIM's URL is then
    /// http://HOST:10006/SECRET/callback. It is never logged and stands in no answer.
    #[arg(long = "callback.secret-file", value_name = "FILE", env = "OPENIM_EXPORTER_CALLBACK_SECRET_FILE")]
    callback_secret: Option<PathBuf>,

    /// File with users and bcrypt hashes, as htpasswd writes it: callbacks are taken only from these
    ///
    /// OpenIM's URL is then http://USER:PASSWORD@HOST:10006/callback. Make the file with: htpasswd -cBC 10 FILE USER
    #[arg(long = "callback.basic-auth-file", value_name = "FILE", env = "OPENIM_EXPORTER_CALLBACK_BASIC_AUTH_FILE")]
    callback_users: Option<PathBuf>,

    /// Networks that callbacks are taken from, as a list with commas: 10.0.0.0/8,192.0.2.7
    ///
    /// None takes them from everywhere. What counts is the address that the connection comes from: behind a proxy, that
    /// is the proxy's.
    #[arg(
        long = "callback.allowed-networks",
        value_name = "NETWORKS",
        env = "OPENIM_EXPORTER_CALLBACK_ALLOWED_NETWORKS"
    )]
    callback_networks: Option<String>,

    /// Memory for callbacks' bodies that are being received and do not come in one piece; more get 503
    ///
    /// It is at least twice --callback.max-body-bytes, so that one of these finds room. The bodies of one address may have
    /// half of it, or that much.
    #[arg(
        long = "callback.max-buffered-bytes",
        value_name = "BYTES",
        env = "OPENIM_EXPORTER_CALLBACK_MAX_BUFFERED_BYTES",
        default_value = "64MiB"
    )]
    max_buffered_bytes: String,
}

impl AccessFlags {
    pub(super) fn telemetry_listen(&self) -> Result<Vec<std::net::SocketAddr>, Error> {
        let given = self.telemetry_listen.iter().map(|address| addresses("web.telemetry-address", address));
        Ok(given.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Enough for one body of the largest size, of which it takes up to twice as much while it grows.
    pub(super) fn buffered_bytes(&self, max_body_bytes: usize) -> Result<usize, Error> {
        let given = bytes("callback.max-buffered-bytes", &self.max_buffered_bytes)?;
        Ok(given.max(max_body_bytes.saturating_mul(2)))
    }

    pub(super) fn check_connections(&self) -> Result<(), Error> {
        let limits = [
            ("web.max-connections", self.max_connections),
            ("web.max-connections-per-address", self.max_connections_per_address),
        ];
        for (flag, given) in limits {
            if given == 0 || given > MOST_CONNECTIONS {
                return Err(refused(flag, &given.to_string(), format!("give a number from 1 to {MOST_CONNECTIONS}")));
            }
        }
        Ok(())
    }

    pub(super) fn access(self) -> Result<Access, Error> {
        Ok(Access {
            web_config: self.web_config,
            callback_secret: self.callback_secret,
            callback_users: self.callback_users,
            callback_networks: self.callback_networks.map(|given| networks(&given)).transpose()?,
        })
    }
}

fn networks(given: &str) -> Result<Networks, Error> {
    Networks::parse(given).map_err(|error| refused("callback.allowed-networks", given, error.to_string()))
}
