//! The page's controls.

use serde_json::{Value, json};

use crate::browser::{Browser, Page, View};
use crate::past;
use crate::support::{Exporter, eventually};
use crate::{simulate, url};

/// All that the keyboard must reach.
const CONTROLS: &str = "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')] \
    .filter((node) => node.checkVisibility() && !node.closest('noscript'))";

/// Presses Tab until the focus returns to the start, and returns the controls without a visible focus.
const TAB: &str = "const unseen = []; \
    for (let count = 0; count < 200; count += 1) { \
        await page.keyboard.press('Tab'); \
        const name = await page.evaluate(() => { \
            const node = document.activeElement; \
            if (!node || node === document.body || node.dataset.reached) return null; \
            node.dataset.reached = 'yes'; \
            const { outlineStyle, outlineWidth } = getComputedStyle(node); \
            const { width, height, bottom, top } = node.getBoundingClientRect(); \
            const isSeen = node.matches(':focus-visible') && outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 \
                && width > 0 && height > 0 && bottom > 0 && top < innerHeight; \
            return isSeen ? '' : node.outerHTML.slice(0, 200); \
        }); \
        if (name === null) break; \
        if (name) unseen.push(name); \
    } \
    return unseen;";

/// Focuses an element as the keyboard does, and presses keys.
fn press(page: &Page<'_>, selector: &str, keys: &[&str]) {
    let code = "await page.focus(value[0]); for (const key of value[1]) await page.keyboard.press(key);";
    page.run_with(code, json!([selector, keys]));
}

pub(crate) fn everything_works_by_keyboard(browser: &Browser) {
    let exporter = Exporter::start(&[]);
    simulate(&exporter, 3000);
    // Without smooth scrolling, which takes time.
    let page = browser.open_as(&View { url: &url(&exporter), motion: "reduce", ..View::default() });
    page.wait_for_data();
    page.wait("document.querySelectorAll('#groups-table tbody tr').length === 25");
    assert_eq!(page.run(TAB), json!([]), "no visible focus");
    let missed =
        page.eval(&format!("{CONTROLS}.filter((node) => !node.dataset.reached).map((node) => node.outerHTML)"));
    assert_eq!(missed, json!([]), "not reached");
    assert!(page.eval(&format!("{CONTROLS}.length")).as_u64().unwrap() > 35);

    press(&page, ".skip", &["Enter"]);
    page.wait("document.activeElement.id === 'main' || location.hash === '#main'");
    press(&page, "#pause", &["Enter"]);
    page.wait_for("paused");
    press(&page, "#pause", &["Space"]);
    page.wait_for("live");
    for theme in ["light", "dark"] {
        press(&page, "#theme", &["ArrowDown"]);
        page.wait(&format!("document.documentElement.dataset.theme === '{theme}'"));
    }
    // The choice stays.
    page.run("await page.reload()");
    page.wait_for_data();
    page.wait("document.documentElement.dataset.theme === 'dark'");
    press(&page, "#language", &["ArrowDown"]);
    page.wait("document.documentElement.lang === 'zh-CN' && location.search === '?lang=zh'");
    press(&page, "#language", &["ArrowUp"]);
    page.wait("document.documentElement.lang === 'en-GB'");
    press(&page, "[data-sort=active_senders]", &["Enter"]);
    page.wait("document.querySelector('[data-column=active_senders]').ariaSort === 'descending'");
    press(&page, "#sort", &["ArrowDown"]);
    page.wait("document.querySelector('[data-column=last_seen]').ariaSort === 'descending'");
    let first = || page.text("#groups-table tbody tr:first-child bdi");
    let before = first();
    press(&page, "[data-go=next]", &["Space"]);
    page.wait("document.querySelector('#range').textContent.startsWith('26 to 50 of 60')");
    assert_ne!(first(), before);
    press(&page, "[data-go=last]", &["Enter"]);
    page.wait("document.querySelector('#range').textContent === '51 to 60 of 60 groups'");
    // The button that does nothing more keeps the focus.
    page.wait("document.activeElement.dataset.go === 'last' && document.activeElement.ariaDisabled === 'true'");
    press(&page, "#now summary", &["Enter"]);
    page.wait("document.querySelector('#now details').open");
    press(&page, "#search", &["z", "z", "z"]);
    page.wait("document.querySelector('#groups-table tbody').textContent === 'No group matches.'");
    let saved = "const [file] = await Promise.all([page.waitForEvent('download'), page.focus('#save') \
                 .then(() => page.keyboard.press('Enter'))]); return file.suggestedFilename()";
    assert!(page.run(saved).as_str().unwrap().ends_with(".html"));
    page.assert_quiet(&url(&exporter));
}

/// The fields of each line of RFC 4180, none of which needs quotes here.
fn lines(text: &str) -> Vec<Vec<&str>> {
    let text = text.strip_suffix("\r\n").expect("the last line ends");
    let lines: Vec<Vec<_>> = text.split("\r\n").map(|line| line.split(',').collect()).collect();
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
    assert!(!text.contains(['"']) && !text.replace("\r\n", "").contains(['\r', '\n']));
    lines
}

fn sum(lines: &[Vec<&str>], column: &str) -> f64 {
    let at = lines[0].iter().position(|name| *name == column).unwrap_or_else(|| panic!("{column}: {:?}", lines[0]));
    lines[1..].iter().map(|line| line[at].parse::<f64>().unwrap()).sum()
}

pub(crate) fn the_files_to_save_are_right(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let exporter = past::start(folder.path(), "UTC");
    simulate(&exporter, 1000);
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    let samples = exporter.scrape();
    // The history has the messages after the next tick.
    eventually("the last day", || {
        let days = exporter.get("/api/v1/days?format=csv").text();
        sum(&lines(&days), "group_messages") == samples.sum("openim_group_messages_total")
    });
    for (link, name, rows) in [("a[href*=days]", "openim-days.csv", 30), ("a[href*=hour]", "openim-hours.csv", 58)] {
        let (found, text) = page.download(&format!("header {link}"));
        assert_eq!(found, name);
        let lines = lines(&text);
        assert!(lines.len() > rows, "{name}: {}", lines.len());
        for (column, series) in [
            ("group_messages", "openim_group_messages_total"),
            ("single_messages", "openim_single_messages_total"),
            ("group_members_joined", "openim_group_members_joined_total"),
        ] {
            assert_eq!(sum(&lines, column), samples.sum(series), "{name}: {column}");
        }
    }
    let (name, saved) = page.download("#save");
    assert!(name.starts_with("openim-20") && name.ends_with(".html"), "{name}");
    assert!(saved.contains("default-src 'none'") && !saved.contains("<script"), "{name}");
    let shown: Value = page.eval("document.querySelector('#periods [data-v=\"yesterday.senders\"]').outerHTML");
    assert!(saved.contains(shown.as_str().unwrap()), "{shown}");
    page.assert_quiet(&url(&exporter));
}
