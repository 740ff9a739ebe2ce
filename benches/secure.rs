//! CPU time per callback with TLS and with each kind of credentials, compared with an unprotected exporter.
//!
//! As with OpenIM, connections stay open and verified passwords are remembered. So these numbers do not include
//! handshakes and hashes; the first round, which includes them, is not counted.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::io::Write;
use std::path::Path;

use openim_exporter::config::simulate::CertificateTrust;
use support::server::{Load, Rounds, Server, interleaved, target};
use support::{Failure, median, ratio};

const ROUNDS: usize = 9;
const LOAD: Load = Load { connections: 2, callbacks: 20_000, groups: 1000, senders: 10_000, seed: 0 };
const CONNECTIONS: [usize; 2] = [2, 16];
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const USER: &str = "openim:correct-horse";
/// The recommended cost of a hash.
const HASH_COST: u32 = 10;

/// The protection of an exporter.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    secret: bool,
    password: bool,
    /// The web configuration.
    web: Option<&'static str>,
}

const PLAIN: Variant = Variant { name: "plain", secret: false, password: false, web: None };
const VARIANTS: [Variant; 7] = [
    PLAIN,
    Variant { name: "secret in the path", secret: true, ..PLAIN },
    Variant { name: "user and password", password: true, ..PLAIN },
    Variant { name: "both", secret: true, password: true, ..PLAIN },
    Variant { name: "TLS, HTTP/1.1", web: Some(HTTP1), ..PLAIN },
    Variant { name: "TLS, HTTP/2", web: Some(HTTP2), ..PLAIN },
    Variant { name: "TLS, HTTP/2, both", secret: true, password: true, web: Some(HTTP2) },
];
const HTTP1: &str = "http1.yml";
const HTTP2: &str = "http2.yml";

fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    write_files(directory.path())?;
    let start = |variant: Variant| server(variant, directory.path());
    let servers = VARIANTS.into_iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let mut out = std::io::stdout();
    writeln!(out, "\n## TLS and authentication: {ROUNDS} rounds of {} callbacks, medians\n", LOAD.callbacks)?;
    for connections in CONNECTIONS {
        let rounds = interleaved(&servers, ROUNDS, Load { connections, ..LOAD })?;
        print(&servers, &rounds, connections, &mut out)?;
    }
    Ok(())
}

fn write_files(directory: &Path) -> Result<(), Failure> {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    write("server.pem", &made.cert.pem())?;
    write("server.key", &made.signing_key.serialize_pem())?;
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
    write(HTTP2, tls)?;
    write(HTTP1, &format!("{tls}http_server_config:\n  http2: false\n"))?;
    write("secret", SECRET)?;
    let (user, password) = USER.split_once(':').ok_or("no password")?;
    Ok(write("users", &format!("{user}:{}\n", bcrypt::hash(password, HASH_COST)?))?)
}

fn server(variant: Variant, directory: &Path) -> Result<Server, Failure> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut flags = Vec::new();
    flags.extend(variant.secret.then(|| format!("--callback.secret-file={}", file("secret"))));
    flags.extend(variant.password.then(|| format!("--callback.basic-auth-file={}", file("users"))));
    flags.extend(variant.web.map(|name| format!("--web.config.file={}", file(name))));
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut server = Server::exporter(variant.name, &flags)?;
    let scheme = if variant.web.is_some() { "https" } else { "http" };
    let user = if variant.password { format!("{USER}@") } else { String::new() };
    let path = if variant.secret { format!("/{SECRET}") } else { String::new() };
    // The certificate is for this name.
    server.target = target(&format!("{scheme}://{user}localhost:{}{path}", server.target.port))?;
    if variant.web.is_some() {
        server.target.trust = Some(CertificateTrust::Authorities(directory.join("server.pem")));
    }
    Ok(server)
}

fn print(servers: &[Server], rounds: &[Rounds], connections: usize, out: &mut impl Write) -> Result<(), Failure> {
    let plain = rounds.first().ok_or("no rounds")?;
    writeln!(
        out,
        "| {connections} connections | CPU per callback, µs | compared with plain | latency p50, µs | latency p99, µs |"
    )?;
    writeln!(out, "|---|---|---|---|---|")?;
    for (server, taken) in servers.iter().zip(rounds) {
        let [cpu, p50, p99] =
            [&taken.cpu_us, &taken.p50_us, &taken.p99_us].map(|rounds| median(rounds.iter().copied()));
        let against = ratio(&taken.cpu_us, &plain.cpu_us);
        writeln!(out, "| {} | {cpu:.2} | {against:.2} | {p50:.0} | {p99:.0} |", server.name)?;
    }
    Ok(writeln!(out)?)
}
