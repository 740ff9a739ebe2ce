//! The file of targets is accepted or refused, and no error and no target shows a secret. Its sets of
//! commands do not depend on the case of a command's first letter.

use std::path::Path;

use openim_exporter::config::forward::{Forward, Target};
use openim_exporter::config::{ForwardSettings, Http};
use openim_exporter::domain::COMMANDS;

use super::web_config::SECRET;

/// Names that are not listed.
const OTHERS: [&str; 4] = ["callbackBeforeNewCommand", "CallbackAfterNewGroupCommand", "callbackX", "callbackBeforeé"];

thread_local! {
    /// The flags, which are not fuzzed.
    static SETTINGS: ForwardSettings = Http::defaults().unwrap().forward;
}

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut is_path = false;
    let mut read = |path: &Path, _| {
        is_path |= path.to_string_lossy().contains(SECRET);
        Ok(match path.extension().and_then(|extension| extension.to_str()) {
            Some("secret") => format!("whsec_{}\n", "A".repeat(44)).into_bytes(),
            Some("word") => format!("{SECRET}\n").into_bytes(),
            // Whatever is in the file itself.
            _ => bytes.to_vec(),
        })
    };
    match SETTINGS.with(|settings| Forward::parse(text, Path::new("/etc/exporter"), settings, &mut read)) {
        Ok(forward) => check(&forward),
        Err(error) => {
            let printed = format!("{error} {error:?}");
            // The path of a certificate is shown.
            assert!(!printed.is_empty() && (is_path || !printed.contains(SECRET)), "{printed}");
        }
    }
}

fn check(forward: &Forward) {
    assert!((1..=16).contains(&forward.targets.len()));
    assert!(forward.targets.iter().filter(|target| target.answers.is_some()).count() <= 1);
    for (number, target) in forward.targets.iter().enumerate() {
        assert!(forward.targets.iter().skip(number + 1).all(|other| other.name != target.name));
        check_target(target);
    }
}

fn check_target(target: &Target) {
    let printed = format!("{:?} {:?} {:?} {}", target.headers, target.authorization, target.secrets, target.url);
    assert!(!printed.contains(SECRET), "{printed}");
    assert!(
        target.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
    );
    assert!(target.answer_timeout.as_millis() <= 4500 && target.concurrency >= 1 && target.max_in_flight >= 1);
    assert!(target.max_bytes >= 1 << 20 && target.secrets.len() <= 2 && target.headers.len() <= 32);
    for (position, known) in COMMANDS.iter().enumerate() {
        assert_eq!(target.commands.contains(known.name), target.commands.contains_known(position));
        // OpenIM 3.0 to 3.4.0 write some with a capital C.
        let capital = format!("C{}", &known.name[1..]);
        assert_eq!(target.commands.contains(known.name), target.commands.contains(&capital));
    }
    for name in OTHERS {
        let _ = (target.answers(name), target.policies.of(name), target.admits(Some(101), Some(name)));
    }
    for (tail, query) in [("", ""), ("callbackAfterSendGroupMsgCommand", "key=a%2Fb")] {
        let uri = target.url.of_callback(tail, query).unwrap();
        assert!(uri.path().ends_with(tail) && uri.query().unwrap_or_default().ends_with(query));
    }
}
