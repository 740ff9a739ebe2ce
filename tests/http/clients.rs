//! Refusals name the client, in the log and in the API.

use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, logfmt_value, message};

fn rejected(exporter: &Exporter) -> Vec<serde_json::Value> {
    exporter.get("/api/v1/summary").json()["callbacks"]["last_rejected"].as_array().unwrap().clone()
}

#[test]
fn a_refused_client_s_address_is_in_the_log_and_in_the_api() {
    let exporter = Exporter::start(&["--callback.allowed-networks", "127.0.0.2"]);
    assert_eq!(rejected(&exporter), Vec::<serde_json::Value>::new());
    let send = |source: &str, path: &str| {
        Client::connect_from(exporter.address(), source.parse().unwrap()).unwrap().post(path, message("g", "u")).status
    };
    assert_eq!(send("127.0.0.2", GROUP_MESSAGE_PATH), 200);
    assert_eq!(send("127.0.0.3", GROUP_MESSAGE_PATH), 403);
    // So that the times differ.
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(send("127.0.0.2", "/metrics"), 405);
    let rejected = rejected(&exporter);
    let of = |place: usize, key: &str| rejected[place][key].as_str().unwrap().to_owned();
    assert_eq!([of(0, "reason"), of(0, "client")], ["method_not_allowed", "127.0.0.2"]);
    assert_eq!([of(1, "reason"), of(1, "client")], ["forbidden", "127.0.0.3"]);
    assert!(of(1, "detail").contains("--callback.allowed-networks"));
    assert!(rejected[0]["time"].as_f64() >= rejected[1]["time"].as_f64());
    exporter.wait_for_log("both refusals", |lines| {
        let clients: Vec<_> = lines.iter().filter_map(|line| logfmt_value(line, "client")).collect();
        clients == ["127.0.0.3", "127.0.0.2"]
    });
}

#[test]
fn the_api_keeps_three_refusals_of_each_kind_with_short_details() {
    let exporter = Exporter::start(&["--log.level", "info"]);
    let long = "x".repeat(5000);
    for number in 0..5 {
        assert_eq!(exporter.get(&format!("/missing/{number}")).status, 404);
    }
    std::thread::sleep(std::time::Duration::from_millis(5));
    let mut client = Client::connect(exporter.address()).unwrap();
    let head = format!("POST {GROUP_MESSAGE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {long}\u{e9}\r\n");
    client.send(format!("{head}Content-Length: 2\r\n\r\n{{}}")).unwrap();
    assert_eq!(client.answer().status, 415);
    let rejected = rejected(&exporter);
    let reasons: Vec<_> = rejected.iter().map(|refusal| refusal["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["unsupported_media_type", "not_found", "not_found", "not_found"]);
    assert_eq!(rejected[0]["detail"].as_str().unwrap().len(), 300);
}
