//! The flags of access control.

use std::path::PathBuf;

use super::flag::settings;
use super::networks::Networks;
use super::parse::absolute_path;

settings! {
    /// Access control.
    #[derive(Default)]
    pub struct AccessSettings {
        /// File with TLS, passwords, headers and a rate limit, in the format of Prometheus' exporter-toolkit
        ///
        /// See docs/web-config.md. This file and the files that it names are reloaded when they change, on SIGHUP, and
        /// on POST /-/reload.
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "web.config.file" web_config: Option<PathBuf>,

        /// File with a secret: callbacks are accepted only at paths that begin with /SECRET/
        ///
        /// The secret has 16 to 256 letters, digits and - . _ ~, as made by: openssl rand -hex 32. OpenIM's URL is then
        /// http://HOST:10006/SECRET/callback. The secret is never logged, and no answer contains it.
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "callback.secret-file" callback_secret: Option<PathBuf>,

        /// File with users and bcrypt hashes, as htpasswd writes it: callbacks are accepted only from these users
        ///
        /// OpenIM's URL is then http://USER:PASSWORD@HOST:10006/callback. Create the file with: htpasswd -cBC 10 FILE
        /// USER
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "callback.basic-auth-file" callback_users: Option<PathBuf>,

        /// Networks that may send callbacks, as a comma-separated list: 10.0.0.0/8,192.0.2.7
        ///
        /// By default, all clients may. Behind a proxy, the proxy's address is checked, unless the proxy is in
        /// --web.trusted-proxies.
        #[arg(value_name = "NETWORKS", value_parser = Networks::parse)]
        "callback.allowed-networks" callback_networks: Option<Networks>,

        /// File with the IDs of senders whose messages are not counted, such as bots: one ID on each line
        ///
        /// Such callbacks, and attempts of these senders, are answered, and counted in
        /// openim_exporter_callbacks_excluded_total only. What else they do is counted. Spaces around an ID are ignored,
        /// and lines that begin with #. The file is reloaded as --web.config.file is.
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "stats.exclude-senders-file" excluded_senders: Option<PathBuf>,
    }
}
