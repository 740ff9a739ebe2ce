//! The examples of docs/forwarding.md and of the API's targets work.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::examples::shape;
use crate::support::{self, Exporter, GROUP_MESSAGE_PATH, eventually};
use crate::target::{Got, Target, allows};
use crate::{API, FORWARDING};

/// An exporter that forwards to a target and signs, and what the target got for one callback.
fn forwarded(secrets: &[&str]) -> (Exporter, Got) {
    let (target, directory) = (Target::start(allows()), tempfile::tempdir().unwrap());
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let files: Vec<_> = (0..secrets.len()).map(|number| at(&format!("secret-{number}"))).collect();
    for (file, secret) in files.iter().zip(secrets) {
        std::fs::write(file, secret).unwrap();
    }
    let signs = if files.is_empty() { String::new() } else { format!(", signing_secret_files: {files:?}") };
    let settings = format!("targets: [{{name: business, url: {}, answers: true{signs}}}]", target.url());
    std::fs::write(at("forward.yml"), settings).unwrap();
    let flags = ["--forward.config.file", &at("forward.yml"), "--storage.path", &at("state")];
    let exporter = Exporter::start(&flags);
    exporter.post(GROUP_MESSAGE_PATH, support::message("g", "u"));
    eventually("the delivery", || !target.got().is_empty());
    (exporter, target.got().remove(0))
}

/// What the page's Python code says about a request.
fn is_genuine(secret: &str, got: &Got) -> bool {
    let code = FORWARDING.block("## Duplicates and signatures", "python").to_owned()
        + "\nimport json, sys\nasked = json.load(sys.stdin)\n\
           print(is_genuine(asked['secret'], asked['headers'], asked['body'].encode()))";
    let headers: serde_json::Map<_, _> =
        got.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let asked = json!({"secret": secret, "headers": headers, "body": String::from_utf8_lossy(&got.body)});
    let mut python = Command::new("/usr/bin/python3");
    let mut python = python.args(["-c", &code]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let ran = python.wait_with_output().unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap().trim() == "True"
}

#[test]
#[ignore = "needs python3"]
fn the_documented_code_accepts_a_signature_and_rejects_a_wrong_one() {
    let secrets = ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"];
    let (_exporter, got) = forwarded(&secrets);
    assert!(secrets.iter().all(|secret| is_genuine(secret, &got)), "{got:?}");
    assert!(!is_genuine("whsec_eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4", &got));
    let changed = Got { body: b"{}".to_vec(), ..got.clone() };
    assert!(!is_genuine(secrets[0], &changed));
    for (name, value) in [
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", &"9".repeat(400)),
        ("webhook-signature", "é v1,"),
        ("webhook-signature", ""),
        ("webhook-id", "é"),
    ] {
        let mut odd = got.clone();
        odd.headers.iter_mut().filter(|(found, _)| found == name).for_each(|(_, found)| *found = value.to_owned());
        assert!(!is_genuine(secrets[0], &odd), "{name}: {value}");
    }
    assert!(is_genuine(&format!("{}\n", secrets[0]), &got));
    assert!(!is_genuine(secrets[0], &Got { headers: Vec::new(), ..got.clone() }));
    let mut old = got;
    for (_, value) in old.headers.iter_mut().filter(|(name, _)| name == "webhook-timestamp") {
        *value = (value.parse::<i64>().unwrap() - 600).to_string();
    }
    assert!(!is_genuine(secrets[0], &old));
}

#[test]
fn the_api_gives_the_documented_target() {
    let (exporter, _) = forwarded(&[]);
    let (_, section) = API.text.split_once("- `targets` has").unwrap();
    let shown = section.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let shown: Value = serde_json::from_str(shown).unwrap();
    let target = || exporter.get("/api/v1/summary").json()["targets"][0].clone();
    eventually("an attempt", || target()["last_attempt"].is_string());
    assert_eq!(shape(&shown), shape(&target()));
    let live = &exporter.get("/api/v1/live?format=json").json()["targets"][0];
    assert_eq!(live["name"], "business");
    assert!(live["delivered_per_second"].is_number() && API.text.contains("`delivered_per_second`"));
}

/// The problems of the page's settings, as the exporter reports them.
fn problems(page: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (file, storage) = (directory.path().join("forward.yml"), directory.path().join("state"));
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut all = String::new();
    // Another test reads the example with files.
    for block in blocks.filter(|block| block.contains("targets:") && !block.contains("_file")) {
        std::fs::write(&file, block).unwrap();
        let flags = ["--check-config", "--forward.config.file", file.to_str().unwrap()];
        let ran = support::command(&flags).arg("--storage.path").arg(&storage).output().unwrap();
        if !ran.status.success() {
            all += &String::from_utf8_lossy(&ran.stderr);
        }
    }
    all
}

#[test]
fn the_settings_on_the_page_are_valid() {
    assert_eq!(problems(FORWARDING.text), "");
    let spoilt = FORWARDING.spoilt("delivery_timeout: 1m", "delivery_time: 1m");
    assert!(problems(&spoilt).contains("delivery_time"), "{}", problems(&spoilt));
}
