//! Scrapes in each format, and their families as other programs read them.

use std::io::Read;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::support::Client;
use crate::support::python::read_with;

/// A format, by what a client asks for and what it gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Format {
    pub(crate) accept: &'static str,
    content_type: &'static str,
    /// The argument of `families.py`.
    reader: &'static str,
}

pub(crate) const TEXT: Format =
    Format { accept: "*/*", content_type: "text/plain; version=0.0.4; charset=utf-8", reader: "text" };

pub(crate) const TEXT_V1: Format = Format {
    accept: "text/plain;version=1.0.0",
    content_type: "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
    reader: "text",
};

pub(crate) const OPEN_METRICS: Format = Format {
    accept: "application/openmetrics-text;version=1.0.0",
    content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
    reader: "openmetrics",
};

pub(crate) const PROTOBUF: Format = Format {
    accept: "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    content_type: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                   escaping=underscores",
    reader: "protobuf",
};

/// Names and values, in the order of the scrape.
pub(crate) type Labels = Vec<(String, String)>;

/// A family. Its name has no `_total`, as in OpenMetrics.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) unit: String,
    pub(crate) samples: Vec<Sample>,
    /// In protobuf only: the native histogram of each row, if it has one.
    #[serde(default)]
    pub(crate) native: Vec<(Labels, Option<Native>)>,
    /// In protobuf only: when the counter or histogram of each row began, in seconds since the epoch.
    #[serde(default)]
    pub(crate) created: Vec<(Labels, f64)>,
}

/// A sample as in the text formats: name, labels, value, exemplar.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sample(pub(crate) String, pub(crate) Labels, pub(crate) f64, pub(crate) Option<Exemplar>);

/// Labels, value, and time in seconds since the epoch.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Exemplar(std::collections::BTreeMap<String, String>, f64, f64);

/// A native histogram.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Native {
    /// The highest value in the zero bucket, and the number of its observations.
    pub(crate) zero: (f64, u64),
    schema: i32,
    /// The index and the number of observations of each bucket.
    pub(crate) buckets: Vec<(i32, u64)>,
}

impl Native {
    /// The upper bound of a bucket.
    fn bound(&self, index: i32) -> f64 {
        (f64::from(index) / f64::from(self.schema).exp2()).exp2()
    }

    /// The least and the most observations that may be up to this value.
    pub(crate) fn up_to(&self, value: f64) -> (u64, u64) {
        let sum = |is_below: &dyn Fn(i32) -> bool| -> u64 {
            let below = self.buckets.iter().filter(|(index, _)| is_below(*index));
            self.zero.1 + below.map(|(_, count)| count).sum::<u64>()
        };
        (sum(&|index| self.bound(index) <= value), sum(&|index| self.bound(index - 1) < value))
    }
}

/// Asks for a page in this format, and checks that the answer has it.
pub(crate) fn scrape(client: &mut Client, path: &str, format: Format) -> Vec<u8> {
    body(client, path, format, "")
}

/// The same, compressed on the way.
pub(crate) fn scrape_compressed(client: &mut Client, path: &str, format: Format) -> Vec<u8> {
    let mut unzipped = Vec::new();
    let zipped = body(client, path, format, "accept-encoding: gzip\r\n");
    GzDecoder::new(zipped.as_slice()).read_to_end(&mut unzipped).unwrap();
    unzipped
}

fn body(client: &mut Client, path: &str, format: Format, headers: &str) -> Vec<u8> {
    let accept = format.accept;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n{headers}\r\n")).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(format.content_type)), "{path}");
    answer.body
}

/// The families of a scrape.
pub(crate) fn read(format: Format, scrape: &[u8]) -> Vec<Family> {
    run(format.reader, scrape)
}

/// Runs `families.py`.
pub(crate) fn run<T: DeserializeOwned>(what: &str, scrape: &[u8]) -> T {
    read_with("tests/exposition/families.py", what, scrape)
}
