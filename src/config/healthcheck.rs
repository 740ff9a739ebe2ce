//! `healthcheck`'s flags, and where an exporter with the same environment variables is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::address::ListenAddress;
use super::duration::{self, Notation};
use super::serve::Config;
use super::target::{CertificateTrust, Target};
pub use super::tls_flags::TlsFlags;
use super::web::Web;

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);

/// Ask an exporter whether it is healthy; exit status 0 means yes
///
/// For containers, whose images have no shell and no curl. By default it asks the exporter that runs with the same
/// environment variables on this machine, at --web.telemetry-address or else --web.listen-address, over IPv4 or IPv6.
/// It does not know the flags of that exporter: if its address is set by a flag, give --url.
///
/// An exporter that requires a client certificate counts as alive without one, but not as ready.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    openim-exporter healthcheck\n  \
    openim-exporter healthcheck --ready --url http://127.0.0.1:10007")]
pub(super) struct HealthcheckFlags {
    /// Where the exporter is: `http[s]://host[:port][/path]` [default: its address in the variables of serve]
    ///
    /// /-/healthy or /-/ready is added. The certificate of this URL is verified. Without this flag it is not, because
    /// the exporter is on this machine and its certificate has another name.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Ask whether it accepts callbacks (/-/ready): during --web.drain-delay, it is alive but not ready
    #[arg(long)]
    ready: bool,

    /// How long the whole check may take
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = timeout)]
    timeout: Duration,

    #[command(flatten)]
    tls: TlsFlags,
}

/// The settings of a health check.
#[derive(Clone, Debug, PartialEq)]
pub struct Healthcheck {
    /// Which exporter is asked.
    pub server: Server,
    /// Whether it must be ready, and not only alive.
    pub is_about_readiness: bool,
    /// How long everything may take.
    pub timeout: Duration,
}

/// Which exporter is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Server {
    /// The one at this URL.
    At(Target),
    /// The one on this machine that has these settings.
    Own(Box<Config>, TlsFlags),
}

impl HealthcheckFlags {
    /// `environment` is what the variables of `serve` say.
    ///
    /// # Errors
    /// When a flag or, without a URL, a variable is not valid.
    pub(super) fn check(
        self,
        environment: impl FnOnce() -> Result<Config, clap::Error>,
        invalid: impl Fn(String) -> clap::Error,
    ) -> Result<Healthcheck, clap::Error> {
        let server = match self.url {
            Some(url) => {
                let target = url.parse().map_err(|problem| format!("--url: {problem}"));
                let target = target.and_then(|mut target| self.tls.give_to(&mut target, "--url").map(|()| target));
                Server::At(target.map_err(invalid)?)
            }
            None => Server::Own(Box::new(environment()?), self.tls),
        };
        Ok(Healthcheck { server, is_about_readiness: self.ready, timeout: self.timeout })
    }
}

impl Healthcheck {
    /// Where the exporter may be reached: it is healthy if it answers at one of these.
    ///
    /// # Errors
    /// When the settings do not say where it listens, or a file that they name is not valid.
    pub(crate) fn targets(&self) -> Result<Vec<Target>, String> {
        let (config, tls) = match &self.server {
            Server::At(target) => return Ok(vec![target.clone()]),
            Server::Own(config, tls) => (config, tls),
        };
        let web = config.http.access.web_config.as_deref().map(Web::read).transpose();
        let has_tls = web.map_err(|error| format!("--web.config.file {error}"))?.is_some_and(|web| web.tls.is_some());
        let targets = addresses(config)?.into_iter().map(|address| {
            let scheme = if has_tls { "https" } else { "http" };
            let mut target: Target = format!("{scheme}://{address}").parse()?;
            target.trust = target.trust.map(|_| CertificateTrust::Any);
            target.proxy_header = config.http.proxy_protocol && config.http.trusts(address.ip());
            tls.give_to(&mut target, "--url").map(|()| target)
        });
        targets.collect()
    }
}

/// Where the exporter with these settings is reached from its own machine.
fn addresses(config: &Config) -> Result<Vec<SocketAddr>, String> {
    let listen = match &config.telemetry_listen[..] {
        [] if config.systemd_socket => {
            return Err("--web.systemd-socket: only systemd knows the exporter's address; give --url".to_owned());
        }
        [] => &config.listen[..],
        telemetry => telemetry,
    };
    let addresses: Vec<_> = listen.iter().flat_map(from_this_machine).collect();
    if addresses.iter().any(|address| address.port() == 0) {
        return Err("the exporter listens on any free port (0); give --url with the port that its log names".to_owned());
    }
    Ok(addresses)
}

fn from_this_machine(listen: &ListenAddress) -> Vec<SocketAddr> {
    let local = |port| [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    match listen {
        ListenAddress::All(port) => local(*port).to_vec(),
        ListenAddress::Host(addresses) => {
            let reached = addresses.iter().map(|address| match address.ip() {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED) => local(address.port())[..1].to_vec(),
                // Unless an IPv4 address has the same port, this one accepts IPv4 too.
                IpAddr::V6(Ipv6Addr::UNSPECIFIED) => local(address.port()).to_vec(),
                _ => vec![*address],
            });
            reached.flatten().collect()
        }
    }
}

fn timeout(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text, Notation::Flags)
        .filter(|timeout| TIMEOUTS.contains(timeout))
        .ok_or("give a time from 1ms to 10m, as in 2s or 500ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Invocation, from_args};

    /// The URLs that are asked with these settings, and whether they get a PROXY header.
    fn asked(flags: &[&str]) -> Result<Vec<(String, bool)>, String> {
        let Ok(Invocation::Serve(config)) = from_args(["openim-exporter"].iter().chain(flags)) else {
            panic!("{flags:?}")
        };
        let server = Server::Own(Box::new(config), TlsFlags::default());
        let check = Healthcheck { server, is_about_readiness: false, timeout: Duration::from_secs(1) };
        Ok(check.targets()?.iter().map(|target| (target.to_string(), target.proxy_header)).collect())
    }

    #[test]
    fn the_exporter_is_asked_where_its_settings_let_it_listen() {
        let listen = "--web.listen-address";
        let (both, v6) = (&["http://127.0.0.1:9", "http://[::1]:9"][..], &["http://[::1]:9"][..]);
        for (flags, expected) in [
            (&[][..], &["http://127.0.0.1:10006", "http://[::1]:10006"][..]),
            (&[listen, ":9"], both),
            (&[listen, "[::]:9"], both),
            (&[listen, "0.0.0.0:9"], &both[..1]),
            (&[listen, "[::1]:9"], v6),
            (&[listen, "[fe80::1%lo]:9"], &["http://[fe80::1]:9"]),
            (&[listen, "10.0.0.1:8,[::1]:9"], &["http://10.0.0.1:8", "http://[::1]:9"]),
            (&[listen, ":8", "--web.telemetry-address", "[::1]:9"], v6),
            (&["--web.systemd-socket", "--web.telemetry-address", ":9"], both),
            (&[listen, ":9", "--web.external-url", "https://example.com/x/"], both),
        ] {
            let expected: Vec<_> = expected.iter().map(|url| ((*url).to_owned(), false)).collect();
            assert_eq!(asked(flags), Ok(expected), "{flags:?}");
        }
        let trusted =
            [listen, "127.0.0.1:9,10.0.0.1:9", "--web.proxy-protocol", "--web.trusted-proxies", "127.0.0.0/8"];
        assert_eq!(asked(&trusted).unwrap().iter().map(|(_, header)| *header).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn an_address_that_the_settings_do_not_have_needs_a_url() {
        for flags in [&["--web.systemd-socket"][..], &["--web.listen-address", "127.0.0.1:0"]] {
            let error = asked(flags).unwrap_err();
            assert!(error.contains("; give --url"), "{error}");
        }
        assert!(
            asked(&["--web.config.file", "/nowhere.yml"]).unwrap_err().starts_with("--web.config.file /nowhere.yml: ")
        );
    }
}
