//! The files of the live page.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};

/// A file: its path on the site, its media type, and its content.
type File = (&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files. To add one, add a line.
const FILES: &[File] = &[
    ("/", HTML, include_bytes!("index.html")),
    ("/page/page.css", CSS, include_bytes!("page.css")),
    ("/page/calling.js", SCRIPT, include_bytes!("calling.js")),
    ("/page/charts.js", SCRIPT, include_bytes!("charts.js")),
    ("/page/content.js", SCRIPT, include_bytes!("content.js")),
    ("/page/dom.js", SCRIPT, include_bytes!("dom.js")),
    ("/page/format.js", SCRIPT, include_bytes!("format.js")),
    ("/page/groups.js", SCRIPT, include_bytes!("groups.js")),
    ("/page/http.js", SCRIPT, include_bytes!("http.js")),
    ("/page/live.js", SCRIPT, include_bytes!("live.js")),
    ("/page/main.js", SCRIPT, include_bytes!("main.js")),
    ("/page/names.js", SCRIPT, include_bytes!("names.js")),
    ("/page/now.js", SCRIPT, include_bytes!("now.js")),
    ("/page/people.js", SCRIPT, include_bytes!("people.js")),
    ("/page/save.js", SCRIPT, include_bytes!("save.js")),
    ("/page/targets.js", SCRIPT, include_bytes!("targets.js")),
    ("/page/texts.js", SCRIPT, include_bytes!("texts.js")),
    ("/page/when.js", SCRIPT, include_bytes!("when.js")),
];

/// Bytes of the hash in a [`Variant::etag`].
const HASH_BYTES: usize = 12;

/// The position of the file at this path in [`Page`]; `None` if there is none.
pub(crate) fn find(path: &str) -> Option<usize> {
    FILES.iter().position(|(found, ..)| *found == path)
}

/// The files as they are served.
pub(crate) struct Page(Vec<Served>);

/// A file as it is served.
pub(crate) struct Served {
    pub(crate) media_type: &'static str,
    pub(crate) plain: Variant,
    pub(crate) gzip: Variant,
}

/// A file in one encoding.
pub(crate) struct Variant {
    pub(crate) bytes: Bytes,
    /// Differs whenever the bytes differ. Includes the quotes. RFC 9110, 8.8.3.
    pub(crate) etag: String,
}

impl Page {
    /// Replaces each key, such as `{metrics}`, in the HTML files with its value, and compresses all files.
    pub(crate) fn new(values: &[(&str, &str)]) -> Self {
        let serve = |(_, media_type, bytes): &File| {
            let bytes = if *media_type == HTML { fill_in(bytes, values) } else { Bytes::from_static(bytes) };
            Served { media_type, gzip: Variant::new(compress(&bytes)), plain: Variant::new(bytes) }
        };
        Self(FILES.iter().map(serve).collect())
    }

    /// The file at this position.
    pub(crate) fn file(&self, position: usize) -> Option<&Served> {
        self.0.get(position)
    }
}

impl Variant {
    fn new(bytes: Bytes) -> Self {
        let hash: String =
            digest(&SHA256, &bytes).as_ref().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self { bytes, etag: format!("\"{hash}\"") }
    }
}

fn fill_in(html: &[u8], values: &[(&str, &str)]) -> Bytes {
    let html = String::from_utf8_lossy(html).into_owned();
    values.iter().fold(html, |html, (key, value)| html.replace(key, value)).into()
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail. If it did, clients would get an empty file.
    let compressed = gzip.write_all(bytes).and_then(|()| gzip.finish());
    compressed.unwrap_or_default().into()
}
