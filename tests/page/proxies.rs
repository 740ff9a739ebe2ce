//! The page below a path, behind nginx with its usual buffers.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::browser::Browser;
use crate::support::{Client, Exporter, Running, SUCCESS, eventually, free_port, message};

/// nginx in front of two exporters. It passes the path on to the first, with the settings of docs/deploy.md, and removes
/// it for the second, with nginx's defaults: HTTP/1.0, with which it buffers most.
fn start(folder: &Path, port: u16, exporters: [&Exporter; 2]) -> Running {
    let at = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|kind| format!("{kind}_temp_path {at}/{kind};")).collect();
    let [kept, removed] = exporters.map(Exporter::address);
    let config = format!(
        "pid {at}/pid; error_log {at}/error.log; daemon off; master_process off; events {{}}\n\
         http {{ access_log off; {temporary}\n\
         server {{ listen 127.0.0.1:{port};\n\
         location /kept/openim/ {{ proxy_pass http://{kept}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n\
         location /removed/openim/ {{ proxy_pass http://{removed}/; }} }} }}\n"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let nginx = Running::start(Command::new("nginx").arg("-c").arg(path).arg("-e").arg(folder.join("start.log")));
    eventually("nginx to listen", || Client::connect(([127, 0, 0, 1], port).into()).is_ok());
    nginx
}

fn connect(port: u16) -> Client {
    Client::connect(([127, 0, 0, 1], port).into()).unwrap()
}

/// A viewer of the live page.
struct Viewer {
    client: Client,
    received: String,
}

impl Viewer {
    fn new(mut client: Client, path: &str) -> Self {
        client.send(format!("GET {path}/api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n")).unwrap();
        assert_eq!(client.answer_to_head().status, 200);
        Self { client, received: String::new() }
    }

    /// The ID of the next whole event.
    fn next(&mut self) -> u64 {
        for _ in 0..10 {
            while !self.received.contains("\n\n") {
                self.received += &String::from_utf8(self.client.chunk().unwrap()).unwrap();
            }
            let (event, rest) = self.received.split_once("\n\n").unwrap();
            let id = event.strip_prefix("id: ").map(|fields| fields.lines().next().unwrap().parse().unwrap());
            self.received = rest.to_owned();
            // A heartbeat has none.
            if let Some(id) = id {
                return id;
            }
        }
        panic!("only heartbeats");
    }
}

/// Checks that events are passed on at once. If nginx buffered them, a part of each would come only with the next one,
/// which a stopped exporter does not send.
fn assert_at_once(exporter: &Exporter, port: u16, path: &str) {
    // The exporter sends each event to this one first.
    let mut behind = Viewer::new(connect(port), &format!("/{path}/openim"));
    behind.next();
    let mut direct = Viewer::new(exporter.connect(), "");
    for _ in 0..4 {
        direct.next();
        let id = direct.next();
        exporter.signal("STOP");
        while behind.next() < id {}
        exporter.signal("CONT");
    }
}

pub(crate) fn the_page_works_below_a_path_behind_nginx(browser: &Browser) {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let outside = format!("http://127.0.0.1:{port}/kept/openim/");
    let kept = Exporter::start(&["--web.external-url", &outside]);
    let removed = Exporter::start(&[]);
    let _nginx = start(folder.path(), port, [&kept, &removed]);
    for (path, exporter) in [("kept", &kept), ("removed", &removed)] {
        let url = format!("http://127.0.0.1:{port}/{path}/openim/");
        let page = browser.open(&url);
        page.wait_for_data();
        // The address to copy is the one outside, and callbacks arrive there.
        assert!(page.text("#advice").contains(&format!("url: {url}callback\n")), "{}", page.text("#advice"));
        let callback = format!("/{path}/openim/callback/callbackAfterSendGroupMsgCommand");
        assert_eq!(connect(port).post(&callback, message("g", "u")).text(), SUCCESS);
        page.wait("document.querySelector('[data-v=group_messages]').dataset.raw === '1'");
        assert_eq!(exporter.scrape().value("openim_exporter_live_viewers"), 1.0, "{path}");
        assert!(page.download("header a[href*=days]").1.contains(",group_messages,"), "{path}");
        page.assert_quiet(&url);
        assert_at_once(exporter, port, path);
    }
}
