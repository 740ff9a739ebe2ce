//! Malicious and random text.

use super::*;

#[test]
fn unneeded_features_of_yaml_are_errors() {
    for (text, expected) in [
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins here; give only one"),
        ("rate_limit: &x {}\nbasic_auth_users: *x\n", "line 2: aliases (*name) are not supported; write the value out"),
        ("rate_limit: !!map {}\n", "line 1: tags (!name) are not supported; remove this one"),
        ("%YAML 1.2\n---\n", "line 1: this is not YAML: "),
        ("? [a]\n: b\n", "line 1: a key must be text; put it in quotes"),
        ("basic_auth_users:\n  ~: x\n", "line 2: a key must be text; put it in quotes"),
        ("a: b: c\n", "line 1: this is not YAML: "),
        ("rate_limit:\n\tburst: 1\n", "line 2: this is not YAML: "),
        ("rate_limit: {\n", "line 1: this is not YAML: "),
        (&("[".repeat(9) + &"]".repeat(9)), "line 1: nesting exceeds 8 levels"),
        (&("{a: ".repeat(9) + &"}".repeat(9)), "line 1: nesting exceeds 8 levels"),
        (&"[".repeat(100_000), "line 1: this is not YAML: "),
        ("a: \0\n", "line 1: this is not YAML: "),
    ] {
        let words = error(text);
        assert!(words.starts_with(expected), "{text:.40}: {words}");
    }
}

#[test]
fn errors_name_the_user_and_do_not_show_the_hash() {
    let words = error("basic_auth_users:\n  alice: hunter2\n");
    assert!(words.starts_with("line 2: basic_auth_users.alice: this is not a bcrypt hash"), "{words}");
    let slow = HASH.replace("$10$", "$31$");
    for text in [
        "basic_auth_users:\n  alice: hunter2\n".to_owned(),
        "basic_auth_users:\n  alice:hunter2\n".to_owned(),
        "basic_auth_users:\n  alice:hunter2\n  bob: x\n".to_owned(),
        "basic_auth_users: alice hunter2\n".to_owned(),
        format!("basic_auth_users:\n  {HASH}: hunter2\n"),
        format!("basic_auth_users:\n  alice: {slow}\n"),
        format!("basic_auth_users:\n  alice: {HASH}\n  {HASH}: alice\n"),
        format!("{HASH}: alice\n"),
        format!("tls_server_config:\n  client_auth_type: \"{HASH}\"\n  key: hunter2\n  cert: x\n"),
        "tls_server_config:\n  key: hunter2\n  key_file: x\n  cert: x\n".to_owned(),
        "tls_server_config:\n  key: [hunter2]\n  cert: x\n".to_owned(),
        "tls_server_config:\n  key: \"hunter2\n".to_owned(),
        "tls_server_config:\n  key: |\n hunter2\n".to_owned(),
        "tls_server_config:\n  key: *hunter2\n".to_owned(),
        "tls_server_config:\n  key: !hunter2 x\n".to_owned(),
    ] {
        let error = parse(&text).expect_err(&text);
        for words in [error.to_string(), format!("{error:?}")] {
            assert!(!words.contains("hunter2") && !words.contains("X0h1"), "{text}: {words}");
        }
    }
}

/// Bytes with a meaning in YAML, keys of the format, and others.
const PIECES: [&str; 40] = [
    "\n",
    "\n  ",
    "\n    ",
    ": ",
    ":",
    "- ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a",
    "*a",
    "!t ",
    "| ",
    ">\n",
    "'",
    "\"",
    "#",
    "%",
    "@",
    "`",
    "\t",
    "\r",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "é",
    "~",
    "---",
    "...",
    "<<: ",
    "\\x",
    "tls_server_config",
    "basic_auth_users",
    "cert",
    "http2",
    "TLS12",
    HASH,
];

fn scrambled(random: &mut impl rand::Rng) -> String {
    (0..random.random_range(0..40)).map(|_| PIECES[random.random_range(0..PIECES.len())]).collect()
}

#[test]
fn no_text_makes_the_parser_panic_or_hang() {
    use rand::{Rng as _, RngCore as _};
    use rand_pcg::rand_core::SeedableRng as _;
    let mut random = rand_pcg::Pcg64::seed_from_u64(6);
    for _ in 0..20_000 {
        let _ = parse(&scrambled(&mut random));
        let mut bytes = vec![0; random.random_range(0..60)];
        random.fill_bytes(&mut bytes);
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
    // As much of one piece as the size limit allows.
    for piece in PIECES {
        let _ = parse(&piece.repeat((1 << 20) / piece.len()));
        let _ = parse(&format!("{piece} x\n").repeat((1 << 20) / (piece.len() + 3)));
    }
    // A valid file with one character removed or doubled at each position.
    let good = format!("{}basic_auth_users: {{alice: {HASH}}}\n", tls(&["cipher_suites: [TLS_AES_128_GCM_SHA256]"]));
    for at in 0..good.len() {
        let (before, after) = good.split_at(at);
        let _ = parse(&format!("{before}{}", &after[1..]));
        let _ = parse(&format!("{before}{}{after}", &after[..1]));
    }
}
