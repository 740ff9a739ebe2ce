//! Both languages, light and dark, small and large windows, with and without data.

use serde_json::{Value, json};

use crate::browser::{Browser, Page, View};
use crate::past;
use crate::support::{Exporter, GROUP_MESSAGE_PATH};
use crate::{simulate, simulate_at, url};

/// Texts that are not for readers of one language only.
const TEXTS: &str = "(() => { \
    const outside = 'code, bdi, pre, option[lang], noscript, script, style'; \
    const texts = []; \
    const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT); \
    while (walker.nextNode()) { \
        const node = walker.currentNode; \
        if (!node.parentElement.closest(outside) && node.data.trim()) texts.push(node.data); \
    } \
    for (const node of document.querySelectorAll('[aria-label], [title]')) { \
        if (!node.closest(outside)) texts.push(node.getAttribute('aria-label') ?? '', node.getAttribute('title') ?? ''); \
    } \
    return texts; })()";

/// Words that Chinese texts have too.
const LATIN: &[&str] = &[
    "openim",
    "exporter",
    "OpenIM",
    "HTML",
    "CSV",
    "UTC",
    "iOS",
    "Android",
    "Windows",
    "macOS",
    "Mac",
    "Linux",
    "Web",
    "iPad",
    "IPad",
    "OSX",
    "MiniWeb",
    "HarmonyOS",
    "metrics",
    "groups",
    "api",
    "summary",
    "days",
    "history",
    "healthy",
    "ready",
    "JSON",
    "Pod",
    "webhook",
    "webhooks",
    "yml",
    "url",
    "docs",
    "ID",
    "Markdown",
];

fn is_chinese(letter: char) -> bool {
    ('\u{2e80}'..'\u{a000}').contains(&letter) || ('\u{ff00}'..'\u{fff0}').contains(&letter)
}

fn texts(page: &Page<'_>) -> Vec<String> {
    page.eval(TEXTS).as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Checks that no text is in the other language.
fn assert_language(page: &Page<'_>, language: &str) {
    let texts = texts(page);
    assert!(texts.len() > 150, "{}", texts.len());
    let is_foreign = |text: &&String| {
        let words = text.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| word.len() > 2);
        match language {
            "en" => text.chars().any(is_chinese),
            _ => words.into_iter().any(|word| !LATIN.contains(&word)),
        }
    };
    let foreign: Vec<_> = texts.iter().filter(is_foreign).collect();
    assert!(foreign.is_empty(), "{language}: {foreign:#?}");
    let lang = page.eval("document.documentElement.lang");
    assert!(lang.as_str().unwrap().starts_with(language), "{lang}");
}

/// Both columns of the table of texts: the same values, and each in its language.
fn assert_table_is_complete(page: &Page<'_>) {
    let code = "const source = await (await page.request.get(new URL('page/texts.js', page.url()).href)).text(); \
                return Function(`${source.replaceAll('export ', '')}; return TEXTS;`)();";
    let table = page.run(code);
    let table = table.as_object().unwrap();
    assert!(table.len() > 150, "{}", table.len());
    for (key, pair) in table {
        let [english, chinese] = pair.as_array().unwrap().as_slice() else { panic!("{key}: {pair}") };
        let values = |text: &Value| {
            let text = text.as_str().unwrap();
            let mut names: Vec<_> =
                text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()).collect();
            names.sort();
            names.dedup();
            (names, text.matches('`').count())
        };
        assert_eq!(values(english), values(chinese), "{key}");
        let [english, chinese] = [english, chinese].map(|text| text.as_str().unwrap());
        assert!(!english.chars().any(is_chinese), "{key}: {english}");
        let has_words = english.split(['{', '}']).step_by(2).any(|part| part.chars().any(char::is_alphabetic));
        let is_same = ["p95", "p99"].contains(&key.as_str());
        assert!(is_same || !has_words || chinese.chars().any(is_chinese), "{key}: {chinese}");
    }
}

pub(crate) fn both_languages_are_complete(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let exporter = past::start(folder.path(), "UTC");
    let origin = url(&exporter);
    let empty = browser.open(&format!("{origin}?lang=zh"));
    empty.wait_for_data();
    assert_language(&empty, "zh");
    simulate(&exporter, 3000);
    exporter.post(GROUP_MESSAGE_PATH, "{").refusal(400);
    for (query, locale, language) in [
        ("", "en-GB", "en"),
        ("", "zh-CN", "zh"),
        ("", "zh-TW", "zh"),
        ("", "fr-FR", "en"),
        ("?lang=zh", "en-US", "zh"),
        ("?lang=en", "zh-CN", "en"),
    ] {
        let page = browser.open_as(&View { url: &format!("{origin}{query}"), locale, ..View::default() });
        page.wait_for_data();
        page.wait("document.querySelector('#growth bdi') && document.querySelector('#refusal')");
        assert_language(&page, language);
        page.assert_quiet(&origin);
    }
    assert_table_is_complete(&empty);
    empty.run("await page.selectOption('#language', 'en')");
    empty.wait("document.documentElement.lang === 'en-GB'");
    assert_language(&empty, "en");
}

/// A window and its settings.
fn look<'a>(url: &'a str, (width, height): (u32, u32), scheme: &'a str) -> View<'a> {
    View { url, width, height, scheme, ..View::default() }
}

const PHONE: (u32, u32) = (375, 812);
const LAPTOP: (u32, u32) = (1280, 900);
const WALL: (u32, u32) = (1920, 1080);

fn brightness(page: &Page<'_>) -> u64 {
    let colour =
        page.eval("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)");
    colour.as_array().unwrap().iter().map(|part| part.as_u64().unwrap()).sum()
}

pub(crate) fn each_look_is_accessible(browser: &Browser) {
    let (empty, folder) = (Exporter::start(&[]), tempfile::tempdir().unwrap());
    let full = past::start_busy(folder.path());
    let _traffic = simulate_at(&full, 5);
    full.post(GROUP_MESSAGE_PATH, "{").refusal(400);
    for (name, exporter, size, scheme, language) in [
        ("empty-375-dark-zh", &empty, PHONE, "dark", "zh"),
        ("empty-1280-light-en", &empty, LAPTOP, "light", "en"),
        ("375-light-en", &full, PHONE, "light", "en"),
        ("375-dark-zh", &full, PHONE, "dark", "zh"),
        ("1280-light-en", &full, LAPTOP, "light", "en"),
        ("1280-dark-en", &full, LAPTOP, "dark", "en"),
        ("1280-light-zh", &full, LAPTOP, "light", "zh"),
        ("1920-light-en", &full, WALL, "light", "en"),
    ] {
        let address = format!("{}?lang={language}", url(exporter));
        let motion = if scheme == "dark" { "reduce" } else { "no-preference" };
        let page = browser.open_as(&View { motion, ..look(&address, size, scheme) });
        page.wait_for_data();
        if name == "1280-dark-en" {
            page.eval("document.querySelectorAll('details').forEach((node) => { node.open = true; })");
        }
        page.assert_accessible(name);
        assert_eq!(page.eval("document.documentElement.scrollWidth <= innerWidth"), true, "{name} is too wide");
        let is_dark = brightness(&page) < 3 * 128;
        assert_eq!(
            (is_dark, page.eval("matchMedia('(prefers-color-scheme: dark)').matches")),
            (scheme == "dark", is_dark.into())
        );
        let scrolling = if motion == "reduce" { "auto" } else { "smooth" };
        assert_eq!(page.eval("getComputedStyle(document.documentElement).scrollBehavior"), scrolling, "{name}");
        assert_eq!(page.eval("document.getAnimations().length"), 0, "{name} moves");
        page.picture(&format!("{name}.png"));
        page.assert_quiet(&url(exporter));
    }
    let paused = browser.open(&url(&full));
    paused.wait_for_data();
    paused.click("#pause");
    paused.wait_for("paused");
    paused.assert_accessible("paused");
    assert_eq!(paused.errors(), json!([]));
}
