//! Mistakes in protobuf are seen: the comparison with the text fails, and Prometheus refuses what it can see.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::formats::{Page, post_messages};
use crate::oracle::Prometheus;
use crate::prometheus::{NATIVE, config};
use crate::scrape::{Family, PROTOBUF, run};
use crate::support::Exporter;

/// Mistakes for which Prometheus refuses the whole scrape. It overlooks the others.
const REFUSED: &[&str] = &[
    "a body that is cut off",
    "a bucket with one more",
    "a count that is a float",
    "a count with one less",
    "a delta with the wrong sign",
    "a label twice",
    "a length that is one too long",
    "a length that is one too short",
    "a length that is padded",
    "a missing span",
    "a span that goes back",
    "a span that is too long",
    "a span that is too short",
    "absolute counts in place of deltas",
    "text after the last family",
];

/// Mistakes that Prometheus 2.42 overlooks, but 2.53 does not.
const REFUSED_LATER: &[&str] = &["a count with one more", "a zero bucket with one more", "another unit"];

/// A mistake, the bytes with it, and what the decoder and its checks make of them.
struct Mutation {
    name: String,
    body: Vec<u8>,
    families: Result<Vec<Family>, String>,
}

/// A page, and the same with each mistake.
fn mutated() -> (Page, Vec<Mutation>) {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    post_messages(&mut client, &["g", "h", "i", "j", "k"].map(str::to_owned));
    let page = Page::scrape(&mut client, "/metrics");
    let made: Vec<(String, String, Result<Vec<Family>, String>)> = run("mutations", &page.protobuf);
    let decoded = |body: String| BASE64_STANDARD.decode(body).unwrap();
    let mutation = |(name, body, families)| Mutation { name, body: decoded(body), families };
    (page, made.into_iter().map(mutation).collect())
}

#[test]
#[ignore = "needs prometheus, protobuf-compiler and python3-prometheus-client"]
fn every_mistake_is_seen() {
    let (page, mutations) = mutated();
    page.difference_of_protobuf(&crate::scrape::read(PROTOBUF, &page.protobuf)).unwrap();
    assert!(mutations.len() > 50);
    for Mutation { name, families, .. } in &mutations {
        let seen =
            families.as_deref().map_err(String::clone).and_then(|families| page.difference_of_protobuf(families));
        let reason = seen.err().unwrap_or_else(|| panic!("nobody sees {name}"));
        println!("{name}: {reason}");
    }
    let bodies = mutations.iter().map(|mutation| mutation.body.clone()).chain([page.protobuf]);
    let pages = serve(bodies.collect());
    let paths: Vec<_> = (0..=mutations.len()).map(|number| format!("/{number}")).collect();
    let names = mutations.iter().map(|mutation| mutation.name.as_str()).chain(["right"]);
    let jobs: Vec<_> = names.zip(&paths).map(|(name, path)| (name, pages, path.as_str())).collect();
    let prometheus = Prometheus::start_with(&config("2s", &jobs), NATIVE);
    let [early, later] = [REFUSED, REFUSED_LATER].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let all: BTreeSet<String> = &early | &later;
    let refused = || {
        prometheus.wait_for_tries_of(jobs.len());
        prometheus.query("up == 0").into_iter().map(|(mut labels, _)| labels.remove("job").unwrap()).collect()
    };
    // A scrape may also fail because the machine is busy.
    let mut tries: Vec<BTreeSet<String>> = Vec::new();
    while tries.len() < 3 && tries.last().is_none_or(|refused| *refused != early && *refused != all) {
        tries.push(refused());
    }
    assert!(tries.last().is_some_and(|refused| *refused == early || *refused == all), "{tries:#?}");
}

/// Serves these scrapes at `/0`, `/1` and so on.
fn serve(bodies: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let len = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..len]);
            let number = request.split(['/', ' ']).nth(2).and_then(|number| number.parse::<usize>().ok());
            let Some(body) = number.and_then(|number| bodies.get(number)) else { continue };
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}", PROTOBUF.accept, body.len());
            let _ = stream.write_all(&[head.as_bytes(), b"\r\nConnection: close\r\n\r\n", body].concat());
        }
    });
    address
}
