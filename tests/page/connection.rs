//! The page recovers by itself, and says so in the meantime.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use serde_json::Value;

use crate::browser::{Browser, Page};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, command, eventually, free_port, message};
use crate::{simulate, url};

const STREAM: &str = "GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// A network between the page and the exporter, which can be cut.
struct Network {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Network {
    fn to(exporter: &Exporter) -> Self {
        Self::with(exporter, false)
    }

    /// A network that may hold streams back for ever, as a proxy with large buffers does.
    fn with(exporter: &Exporter, holds_streams: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (is_cut, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let network =
            Self { address: listener.local_addr().unwrap(), is_cut: is_cut.clone(), connections: connections.clone() };
        let exporter = exporter.address();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !is_cut.load(Ordering::SeqCst)
                    && let Ok(server) = TcpStream::connect(exporter)
                {
                    let ends = || [&client, &server].map(|end| end.try_clone().unwrap());
                    connections.lock().unwrap().extend(ends());
                    let [to_client, to_server] = ends();
                    thread::spawn(move || copy(client, to_server, false));
                    thread::spawn(move || copy(server, to_client, holds_streams));
                }
            }
        });
        network
    }

    /// Closes all connections and allows no new ones.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for end in self.connections.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

/// Passes bytes on as they come.
fn copy(mut from: TcpStream, mut to: TcpStream, holds_streams: bool) {
    let (mut buffer, mut is_held) = ([0; 16_384], false);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..length];
        is_held |= holds_streams && Finder::new("text/event-stream").find(bytes).is_some();
        if !is_held && to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// The total of group messages on the page.
fn total(page: &Page<'_>) -> f64 {
    page.eval("Number(document.querySelector('[data-v=group_messages]').dataset.raw)").as_f64().unwrap()
}

fn wait_for_total(page: &Page<'_>, exporter: &Exporter) {
    let counted = exporter.scrape().sum("openim_group_messages_total");
    page.wait(&format!("document.querySelector('[data-v=group_messages]').dataset.raw === '{counted}'"));
}

fn send(exporter: &Exporter) {
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
}

/// The banner of a page that is not live.
fn assert_says_so(page: &Page<'_>, cause: &str) {
    let banner = page.wait_for("lost");
    for part in ["Not live since", "recovers by itself"] {
        assert!(banner.contains(part), "{banner}");
    }
    assert_eq!(page.text("#state"), "Not live");
    page.wait(&format!("document.querySelector('#banner').innerText.includes('{cause}')"));
}

fn assert_live(page: &Page<'_>) {
    assert_eq!((page.wait_for("live").as_str(), page.text("#state").as_str()), ("", "Live"));
}

pub(crate) fn a_cut_stream_resumes(browser: &Browser) {
    let exporter = Exporter::start(&[]);
    let network = Network::to(&exporter);
    send(&exporter);
    let page = browser.open(&format!("http://{}/", network.address));
    page.wait_for_data();
    network.cut();
    send(&exporter);
    assert_says_so(&page, "does not answer");
    page.assert_accessible("lost");
    assert_eq!(total(&page), 1.0);
    network.mend();
    assert_live(&page);
    wait_for_total(&page, &exporter);
    // Only the stream ends: the page must not stay behind.
    for end in network.connections.lock().unwrap().drain(..) {
        let _ = end.shutdown(Shutdown::Both);
    }
    send(&exporter);
    wait_for_total(&page, &exporter);
    assert_live(&page);
}

pub(crate) fn a_silent_stream_is_noticed(browser: &Browser) {
    let exporter = Exporter::start(&[]);
    send(&exporter);
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    exporter.signal("STOP");
    assert_says_so(&page, "The numbers are");
    exporter.signal("CONT");
    assert_live(&page);
    send(&exporter);
    wait_for_total(&page, &exporter);
}

pub(crate) fn a_killed_exporter_comes_back(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let start = || {
        let flags = ["--web.listen-address", &address, "--storage.path", folder.path().to_str().unwrap()];
        Exporter::run(&mut command(&flags))
    };
    let exporter = start();
    simulate(&exporter, 2000);
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    wait_for_total(&page, &exporter);
    let before = total(&page);
    assert!(before > 500.0, "{before}");
    page.eval(
        "globalThis.lowest = Infinity; setInterval(() => { \
         lowest = Math.min(lowest, document.querySelector('[data-v=group_messages]').dataset.raw); }, 20)",
    );
    exporter.signal("KILL");
    let _ = exporter.wait();
    assert_says_so(&page, "does not answer");
    assert_eq!(total(&page), before);
    let exporter = start();
    assert_live(&page);
    wait_for_total(&page, &exporter);
    send(&exporter);
    wait_for_total(&page, &exporter);
    assert_eq!((page.eval("lowest").as_f64(), total(&page)), (Some(before), before + 1.0));
}

/// Somebody else who looks at the page.
fn view(exporter: &Exporter) -> Client {
    let mut client = exporter.connect();
    client.send(STREAM).unwrap();
    let head = client.answer_to_head();
    assert_eq!((head.status, head.header("x-accel-buffering")), (200, Some("no")));
    client
}

/// The total of group messages in a viewer's next event.
fn next(viewer: &mut Client) -> io::Result<Value> {
    let event = viewer.event()?;
    let (_, data) = event.split_once("data: ").unwrap();
    Ok(serde_json::from_str::<Value>(data.trim_end()).unwrap()["group_messages"].clone())
}

pub(crate) fn one_viewer_too_many_polls(browser: &Browser) {
    let exporter = Exporter::start(&["--web.max-viewers", "100"]);
    let mut viewers: Vec<_> = (0..100).map(|_| view(&exporter)).collect();
    send(&exporter);
    let page = browser.open(&url(&exporter));
    let banner = page.wait_for("polling");
    assert!(banner.contains("--web.max-viewers") && banner.contains("every 10 seconds"), "{banner}");
    assert_eq!(page.text("#state"), "Every 10 seconds");
    let (mut client, mut slowest) = (exporter.connect(), Duration::ZERO);
    for _ in 0..500 {
        let begin = Instant::now();
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
        slowest = slowest.max(begin.elapsed());
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    for viewer in &mut viewers {
        // Events that came before wait in the connection.
        while next(viewer).unwrap() != 501 {}
    }
    wait_for_total(&page, &exporter);
    assert_eq!(page.eval("document.documentElement.dataset.state"), "polling");
    page.wait("document.querySelector('#groups-table [data-group=g]')");
    viewers.pop();
    // The page tries the stream again after a minute.
    page.eval("(() => { const now = Date.now; Date.now = () => now() + 60_000; })()");
    assert_live(&page);
}

pub(crate) fn a_stream_that_a_proxy_holds_back_is_replaced(browser: &Browser) {
    let exporter = Exporter::start(&[]);
    let network = Network::with(&exporter, true);
    send(&exporter);
    let page = browser.open(&format!("http://{}/", network.address));
    let banner = page.wait_for("polling");
    assert!(banner.contains("a proxy buffers it"), "{banner}");
    page.wait("document.querySelector('#groups-table [data-group=g]') && document.querySelector('#heat tbody')");
    send(&exporter);
    wait_for_total(&page, &exporter);
}

fn wait_for_viewers(exporter: &Exporter, count: f64) {
    eventually("the viewers", || exporter.scrape().value("openim_exporter_live_viewers") == count);
}

pub(crate) fn a_page_that_nobody_sees_is_not_connected(browser: &Browser) {
    let exporter = Exporter::start(&[]);
    send(&exporter);
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    wait_for_viewers(&exporter, 1.0);
    page.click("#pause");
    let banner = page.wait_for("paused");
    assert!(banner.contains("Paused since") && page.text("#pause") == "Resume", "{banner}");
    wait_for_viewers(&exporter, 0.0);
    send(&exporter);
    let requests = page.run("return seen.requests.length");
    thread::sleep(Duration::from_secs(12));
    assert_eq!((total(&page), page.run("return seen.requests.length")), (1.0, requests));
    page.click("#pause");
    assert_live(&page);
    wait_for_total(&page, &exporter);
    wait_for_viewers(&exporter, 1.0);
    // Chromium without a window never hides a page.
    let hide = |is_hidden: bool| {
        page.eval(&format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, value: {is_hidden} }}) \
             && document.dispatchEvent(new Event('visibilitychange'))"
        ))
    };
    hide(true);
    wait_for_viewers(&exporter, 0.0);
    send(&exporter);
    hide(false);
    wait_for_viewers(&exporter, 1.0);
    wait_for_total(&page, &exporter);
    page.assert_quiet(&url(&exporter));
}
