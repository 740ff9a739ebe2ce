//! Group IDs come from the senders of messages: they are text on the page and in the saved file, whatever they contain.

use std::fs;

use serde_json::{Value, json};

use crate::browser::{Browser, Page};
use crate::support::{Exporter, GROUP_MESSAGE_PATH};
use crate::{pictures, url};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Names that would run a script, load something, or spoil the page if they were not text.
const NAMES: &[&str] = &[
    "<script>window.hacked=1;alert(1)</script>",
    "<img src=x onerror=window.hacked=1>",
    "<img src=//example.com/a.png>",
    "\"><svg onload=window.hacked=1>",
    "'\"><iframe srcdoc='<script>top.hacked=1</script>'>",
    "<a href=\"javascript:window.hacked=1\">open</a>",
    "javascript:window.hacked=1",
    "</td></tr></table><form action=//example.com><button>x",
    "</title></style></textarea><script>window.hacked=1</script>",
    "<!--<script>window.hacked=1//-->",
    "<base href=//example.com/>",
    "<link rel=stylesheet href=//example.com/a.css>",
    "<style>@import '//example.com/a.css';*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=//example.com'>",
    "&lt;script&gt;window.hacked=1&lt;/script&gt; &amp; &#60;",
    "${window.hacked=1} {{constructor.constructor('hacked=1')()}}",
    "{n} {time} [one|many] `code`",
    "a\u{202e}evitan\u{2066}\u{200f} rtl",
    "line\nbreak\ttab\u{1}\u{7f}\u{85}\u{2028}\u{feff}",
    "__proto__",
    "constructor",
    "\\u003cscript\\u003e\\",
    "tail\u{0}<script>window.hacked=1</script>",
    " ",
];

/// The names in the table of groups, in what is shown and in what scripts and screen readers read.
const SHOWN: &str = "[...document.querySelectorAll('#groups-table tbody tr')].map((row) => { \
    const name = row.querySelector('bdi'); \
    return [row.dataset.group, name.textContent, name.title]; })";

/// Elements and attributes that only a name could have made.
const MADE: &str = "[...document.querySelectorAll('main img, main script, main iframe, main object, main base, main meta, \
    main link, main style, main a[href], main form[action], body > script')].map((node) => node.outerHTML) \
    .concat([...document.querySelectorAll('*')].filter((node) => [...node.attributes] \
    .some(({ name }) => name.startsWith('on'))).map((node) => node.outerHTML))";

/// A file cannot have the character NUL: browsers replace it in attributes, and drop it in text.
fn without_nul(text: &str) -> String {
    text.replace(['\0', '\u{fffd}'], "")
}

/// Checks that every name is shown, and is only text.
fn assert_text(page: &Page<'_>, names: &[String]) {
    assert_eq!(page.eval(MADE), json!([]));
    assert_eq!(page.eval("String(window.hacked)"), "undefined");
    let mut shown: Vec<String> = Vec::new();
    for row in page.eval(SHOWN).as_array().unwrap() {
        let [group, text, title] = [0, 1, 2].map(|part| without_nul(row[part].as_str().unwrap()));
        assert!(group == text && text == title, "{row}");
        shown.push(text);
    }
    shown.sort();
    assert_eq!(shown, names.iter().map(|name| without_nul(name)).collect::<Vec<_>>());
}

pub(crate) fn hostile_names_are_text(browser: &Browser) {
    let exporter = Exporter::start(&[]);
    assert_eq!(exporter.get("/").header("content-security-policy"), Some(POLICY));
    let long = "<b>".repeat(80);
    let mut names: Vec<String> = NAMES.iter().copied().chain([long.as_str()]).map(str::to_owned).collect();
    for name in &names {
        let body = json!({ "sendID": name, "groupID": name, "contentType": 101, "senderPlatformID": 1 });
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body.to_string()).status, 200, "{name}");
    }
    // The page shows the details of refused requests.
    let markup = "<img/src=x/onerror=alert(1)>";
    let encoded = markup.replace('<', "%3C").replace('>', "%3E");
    exporter.get(&format!("/api/v1/groups?sort={encoded}")).refusal(400);
    exporter.get(&format!("/{encoded}")).refusal(404);
    exporter.post(&format!("/{encoded}"), format!(r#"{{"callbackCommand":"{markup}"}}"#)).refusal(404);
    exporter.post(GROUP_MESSAGE_PATH, format!(r#"{{"sendID":"u","contentType":"{markup}"}}"#)).refusal(400);
    names.sort();
    // The exporter shortens a long name.
    let answer = exporter.get("/api/v1/groups?limit=100").json();
    let mut tracked: Vec<_> = answer["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["group_id"].as_str().unwrap().to_owned())
        .collect();
    tracked.sort();
    let is_short = |name: &&String| name.len() < 64;
    let [mut kept, shortened]: [Vec<_>; 2] =
        [true, false].map(|short| names.iter().filter(|name| is_short(name) == short).cloned().collect());
    assert_eq!(shortened, [long.as_str()]);
    kept.extend(tracked.iter().filter(|name| name.starts_with("<b><b>")).cloned());
    kept.sort();
    let names = tracked;
    assert_eq!(names, kept);

    let origin = url(&exporter);
    let page = browser.open(&format!("{origin}?lang=%3Cscript%3Ealert(1)%3C/script%3E#%3Cimg%20src=x%3E"));
    page.wait_for_data();
    let live = exporter.get("/api/v1/live?format=json").json();
    // The page shows the callbacks only.
    let refused = live["callbacks"]["last_rejected"].as_array().unwrap().iter();
    let refused: Vec<_> = refused.filter(|request| request["callback"] == true).collect();
    assert!(refused.len() >= 2 && live.to_string().contains(markup), "{refused:?}");
    page.wait(&format!("document.querySelectorAll('#refused tbody tr').length === {}", refused.len()));
    let shown = page.text("#refused");
    for refusal in refused {
        assert!(shown.contains(refusal["detail"].as_str().unwrap()), "{refusal}: {shown}");
    }
    assert_text(&page, &names);
    let search = |text: &str, rows: usize| {
        page.run_with("await page.fill('#search', value)", text);
        page.wait(&format!("document.querySelectorAll('#groups-table tbody tr').length === {rows}"));
    };
    search("<script>", names.iter().filter(|name| name.contains("<script>")).count());
    search("<img src=y onerror=alert(1)>", 1);
    assert_eq!(page.text("#groups-table tbody"), "No group matches.");
    search("", names.len());
    let (_, saved) = page.download("#save");
    page.assert_quiet(&origin);

    let path = pictures().join("hostile.html");
    fs::write(&path, &saved).unwrap();
    let offline = browser.open(&format!("file://{}", path.display()));
    assert_text(&offline, &names);
    assert_eq!(offline.errors(), json!([]));
    assert_eq!(offline.run("return seen.requests.length"), 1);
    assert!(offline.text("#saved").contains(&origin), "{}", offline.text("#saved"));
    assert_eq!(offline.eval("document.querySelectorAll('button, input, select, script').length"), Value::from(0));
}
