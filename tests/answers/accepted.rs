//! The answers to accepted callbacks, with the bodies of OpenIM's own structs.

use std::collections::BTreeMap;

use openim_exporter::domain::{AnswerUse, COMMANDS, Subject};
use openim_exporter::http::Limits;
use serde_json::value::RawValue;

use crate::link::{Link, Post, Protocol};
use crate::site::Site;
use crate::support::SUCCESS;
use crate::versions::refusing;

/// A body of each callback as OpenIM sends it, and of two older forms of a group message: one in each line.
const BODIES: &str = include_str!("bodies.jsonl");

const FIVE: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0"#;

/// The fields that OpenIM copies from the answer to `callbackBeforeSetGroupInfoCommand`.
const COPIED: [&str; 4] = ["groupID", "groupName", "faceURL", "introduction"];

/// Those that it copies also from the answer to `callbackBeforeSetGroupInfoExCommand`.
const COPIED_EX: [&str; 4] = ["ex", "needVerification", "lookMemberInfo", "applyMemberFriend"];

type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

fn command_of(body: &str) -> String {
    serde_json::from_str::<serde_json::Value>(body).unwrap()["callbackCommand"].as_str().unwrap().to_owned()
}

fn use_of(name: &str) -> AnswerUse {
    COMMANDS.iter().find(|known| known.name == name).unwrap().answer_use
}

/// The answer that the table requires.
fn expected(name: &str, answer_use: AnswerUse, body: &str) -> String {
    if answer_use != AnswerUse::Copied {
        return SUCCESS.to_owned();
    }
    let fields: Fields<'_> = serde_json::from_str(body).unwrap();
    let names = COPIED.into_iter().chain(COPIED_EX.into_iter().filter(|_| name.contains("InfoEx")));
    let echoed = names.filter_map(|name| Some(format!(r#","{name}":{}"#, fields.get(name)?.get())));
    let echoed: String = echoed.filter(|field| !field.ends_with(":null")).collect();
    format!("{FIVE}{echoed}}}")
}

fn post(site: &Site, link: &mut Link, path: &str, body: &str) -> (u16, String) {
    let mut post: Post = site.post(crate::callbacks::CALLBACKS[0]);
    (post.path, post.body) = (path.to_owned(), body.as_bytes().to_vec());
    let answer = link.ask(&post);
    assert!(answer.status != 200 || refusing(&answer.body).is_empty(), "{answer:?}");
    (answer.status, String::from_utf8(answer.body).unwrap())
}

fn site(tls: bool) -> Site {
    Site::new(tls, false, Limits::default(), |_| ())
}

#[test]
fn every_command_is_answered_as_the_table_says_whatever_the_body() {
    for site in [site(false), site(true)] {
        for &protocol in site.protocols {
            let mut link = site.open(protocol);
            for known in COMMANDS {
                for body in BODIES.lines().chain(["{}"]) {
                    let (name, before) = (known.name, site.served.callbacks());
                    let (status, answer) = post(&site, &mut link, &format!("/x/{name}"), body);
                    // A message needs a sender, and its own fields.
                    let is_message =
                        matches!(known.subject, Subject::Sent(_) | Subject::Attempted(_) | Subject::Stored);
                    if is_message && status == 400 {
                        // The body has the command, unless it is `{}`.
                        let in_body = body != "{}" && use_of(&command_of(body)) != AnswerUse::Ignored;
                        let is_obeyed = in_body || known.answer_use != AnswerUse::Ignored;
                        let code = i32::from(!is_obeyed);
                        assert!(answer.starts_with(&format!(r#"{{"actionCode":{code},"#)), "{answer}");
                        continue;
                    }
                    assert_eq!((status, answer), (200, expected(name, known.answer_use, body)), "{name}: {body}");
                    assert_eq!(site.served.callbacks(), before + 1, "{name}");
                }
            }
            if protocol == Protocol::Plain {
                // Only the bodies without a sender or a group, at the paths of five commands.
                assert!(site.all_refused() < 5.0 * BODIES.lines().count() as f64);
            }
        }
    }
}

#[test]
fn every_body_is_answered_as_the_table_says_in_every_version_s_url() {
    let site = site(false);
    let mut link = site.open(Protocol::Plain);
    for body in BODIES.lines() {
        let name = command_of(body);
        let answer_use = use_of(&name);
        let other_case = name.replacen('c', "C", 1);
        for path in [
            format!("/{name}"),
            format!("/callbackExample/{name}?key=eyJzZW5kSUQiOiIxIn0%3D"),
            format!("/{other_case}"),
            format!("/callback?command={name}"),
            format!("/?command={other_case}"),
            "/".to_owned(),
            "/callback".to_owned(),
        ] {
            // The newest versions end a body with a line break.
            for body in [body, &format!("{body}\n")] {
                let answer = post(&site, &mut link, &path, body);
                assert_eq!(answer, (200, expected(&name, answer_use, body)), "{path}: {body}");
            }
        }
        let with_other_case = body.replace(":\"callback", ":\"Callback");
        let answer = post(&site, &mut link, "/callback", &with_other_case);
        assert_eq!(answer, (200, expected(&name, answer_use, body)), "{with_other_case}");
    }
    assert_eq!(site.all_refused(), 0.0);
}

#[test]
fn a_group_s_new_information_is_echoed_as_it_is() {
    let site = site(false);
    let mut link = site.open(Protocol::Plain);
    let of = |name: &str| BODIES.lines().find(|body| command_of(body) == name).unwrap();
    let (set, set_ex) = ("callbackBeforeSetGroupInfoCommand", "callbackBeforeSetGroupInfoExCommand");
    let url = r#""faceURL":"https://x/?a=1\u0026b=2","introduction":"""#;
    let strings = format!(r#""groupID":"g\u003c\u0026\u2028\ud83d\ude00\/\"\\","groupName":"\u003e é 群",{url}"#);
    let numbers = r#""ex":"{\"a\":1}","needVerification":2,"lookMemberInfo":0,"applyMemberFriend":-1"#;
    for (name, body, echoed) in [
        (set, of(set), r#","groupID":"2478290001","groupName":"Hikers 2","faceURL":"","introduction":"""#),
        (set_ex, of(set_ex), r#","groupID":"2478290001","groupName":"Hikers 2""#),
        (set, &format!("{{{strings},{numbers}}}"), &format!(",{strings}")),
        (set_ex, &format!("{{{strings},{numbers},\"new\":[1]}}"), &format!(",{strings},{numbers}")),
        // Types that are not expected are not changed either.
        (set, r#"{"groupID":5,"groupName":null,"faceURL":true}"#, r#","groupID":5,"faceURL":true"#),
        (
            set_ex,
            r#"{"groupID":"g","needVerification":{"value":1},"ex":"2"}"#,
            r#","groupID":"g","ex":"2","needVerification":{"value":1}"#,
        ),
        (set_ex, r#"{"lookMemberInfo":1,"groupID":"g"}"#, r#","groupID":"g","lookMemberInfo":1"#),
        (set, "{}", ""),
    ] {
        let expected = format!("{FIVE}{echoed}}}");
        assert_eq!(post(&site, &mut link, &format!("/{name}"), body), (200, expected), "{body}");
    }
}
