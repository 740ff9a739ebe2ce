use std::fs;
use std::path::PathBuf;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::settings::name;
use super::*;

fn url(text: &str) -> RedisUrl {
    RedisUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_url_is_parsed_and_shown_without_its_password() {
    for (text, shown) in [
        ("redis://redis", "redis://redis:6379/0"),
        ("REDISS://redis:6380/", "rediss://redis:6380/0"),
        ("redis://10.0.0.5/3", "redis://10.0.0.5:6379/3"),
        ("redis://:hunter2@[::1]", "redis://[::1]:6379/0"),
        ("redis://[fd00::5]:1/2", "redis://[fd00::5]:1/2"),
        ("redis://[fe80::1%lo]", "redis://[fe80::1%1]:6379/0"),
        ("redis://exporter:hunter2@my_redis-1.example.com:1", "redis://exporter@my_redis-1.example.com:1/0"),
        ("redis://a,b:1,[::1]:2?cluster=true", "redis://a:6379,b:1,[::1]:2?cluster=true"),
        ("redis://a/0?cluster=true", "redis://a:6379?cluster=true"),
        ("redis://a?cluster=false", "redis://a:6379/0"),
        ("redis://a,b:1/4?sentinel=main", "redis://a:26379,b:1/4?sentinel=main"),
        ("rediss://exporter:hunter2@a/?sentinel=main%201", "rediss://exporter@a:26379/0?sentinel=main 1"),
    ] {
        let url = url(text);
        assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()), "{text}");
    }
}

#[test]
fn the_parts_of_a_url_are_decoded() {
    let full = url("rediss://ex%40p:p%3Aw%2F%25+%C3%A9@h:7/5?sentinel=m");
    assert_eq!((full.is_tls(), full.user(), full.password()), (true, Some("ex@p"), Some("p:w/%+é")));
    assert_eq!((full.database(), full.topology()), (5, &Topology::Sentinel("m".to_owned())));
    assert_eq!(full.hosts(), [RedisHost { name: "h".to_owned(), port: 7 }]);
    let without_user = url("redis://:a:b@h");
    assert_eq!((without_user.user(), without_user.password()), (None, Some("a:b")));
    assert_eq!((url("redis://@h").user(), url("redis://u:@h").password()), (None, None));
}

#[test]
fn a_wrong_url_is_an_error_that_says_how_to_write_one() {
    for (text, expected) in [
        ("", "it must start with redis:// or rediss://; write it like redis://10.0.0.5:6379"),
        ("redis:6379", "it must start with redis:// or rediss://; write it"),
        ("http://redis", "it must start with redis:// or rediss://; write it"),
        ("redis+unix:///socket", "it must start with redis:// or rediss://; write it"),
        ("redis://", "it has no usable host and port; write it"),
        ("redis://u:hunter2@", "it has no usable host and port; write it"),
        ("redis://a,", "it has no usable host and port; write it"),
        ("redis://a b", "it has no usable host and port; write it"),
        ("redis://a:0", "it has no usable host and port; write it"),
        ("redis://a:65536", "it has no usable host and port; write it"),
        ("redis://a:hunter2", "it has no usable host and port; write it"),
        ("redis://[::1", "it has no usable host and port; write it"),
        ("redis://[::1]6379", "it has no usable host and port; write it"),
        ("redis://[hunter2]", "there is no IPv6 address in the brackets"),
        ("redis://::1:6379", "an IPv6 address needs brackets, as in [::1]:6379; write it"),
        ("redis://u:hunter2/x@h", "it has an @ or # after its host; write / ? # @ of a password as %2F"),
        ("redis://u:hunter2#x@h", "it has an @ or # after its host; write / ? # @ of a password as %2F"),
        ("redis://u:hunter2%@h", "it has a user, password or name that a URL cannot hold; write % and each byte"),
        ("redis://u:hunter2%ff@h", "it has a user, password or name that a URL cannot hold; write % and each byte"),
        ("redis://u:hunter2 é@h", "it has a user, password or name that a URL cannot hold; write % and each byte"),
        ("redis://h/hunter2", "after the hosts and / it can only have the number of a database; write it"),
        ("redis://h/-1", "after the hosts and / it can only have the number of a database; write it"),
        ("redis://h?hunter2", "after ? it can only have cluster=true or sentinel=NAME; write it"),
        ("redis://h?cluster=yes", "after ? it can only have cluster=true or sentinel=NAME; write it"),
        ("redis://h?sentinel=", "after ? it can only have cluster=true or sentinel=NAME; write it"),
        ("redis://h?cluster=true&sentinel=m", "it can only have one of cluster=true and sentinel=NAME, once; write it"),
        ("redis://a,b", "it has several hosts; add ?cluster=true for a Redis Cluster, or ?sentinel=NAME if they are"),
        ("redis://a/1?cluster=true", "a Redis Cluster has only the database 0; remove the number after the hosts"),
        ("rediss://a..b", "a certificate cannot have the name of one of the hosts; give a DNS name"),
    ] {
        let error = RedisUrl::parse(text).expect_err(text);
        assert!(error.starts_with(expected) && !error.contains("hunter2"), "{text}: {error}");
    }
    let many = format!("redis://{}h?cluster=true", "h,".repeat(100));
    assert_eq!(RedisUrl::parse(&many).unwrap_err(), "it has more than 100 hosts; a few of them are enough");
}

#[test]
fn a_name_is_plain_and_not_too_long() {
    for valid in ["a", "exporter-0.example_1", &"x".repeat(64)] {
        assert_eq!(name(valid).unwrap(), valid);
    }
    for wrong in ["", "a b", "a:b", "é", "{a}", &"x".repeat(65)] {
        assert!(name(wrong).unwrap_err().starts_with("give 1 to 64 letters"), "{wrong}");
    }
}

#[test]
fn flags_that_do_not_fit_together_are_an_error() {
    let none = ReplicasSettings::default();
    let of = |text: &str| ReplicasSettings { redis_url: Some(url(text)), ..ReplicasSettings::default() };
    let file = || Some(PathBuf::from("/file"));
    let (plain, tls) = (of("redis://h"), of("rediss://h"));
    let ok = |settings: &ReplicasSettings| assert_eq!(settings.check(), Ok(()), "{settings:?}");
    [&none, &plain, &tls, &of("redis://u:p@h"), &of("redis://:p@h")].into_iter().for_each(ok);
    ok(&ReplicasSettings { password_file: file(), ..of("redis://u@h") });
    ok(&ReplicasSettings {
        ca_file: file(),
        cert_file: file(),
        key_file: file(),
        name: Some("a".into()),
        ..tls.clone()
    });
    for (settings, expected) in [
        (
            ReplicasSettings { password_file: file(), ..none.clone() },
            "--replicas.redis-password-file: it has no effect without --replicas.redis-url; set that, or remove it",
        ),
        (ReplicasSettings { key_file: file(), ..none }, "--replicas.redis-key-file: it has no effect without"),
        (
            ReplicasSettings { ca_file: file(), ..plain.clone() },
            "--replicas.redis-ca-file: --replicas.redis-url starts with redis://, which does not use TLS; use",
        ),
        (
            ReplicasSettings { cert_file: file(), ..tls.clone() },
            "--replicas.redis-cert-file: its key is missing; give --replicas.redis-key-file",
        ),
        (
            ReplicasSettings { key_file: file(), ..tls },
            "--replicas.redis-key-file: its certificate is missing; give --replicas.redis-cert-file",
        ),
        (
            ReplicasSettings { password_file: file(), ..of("redis://:p@h") },
            "--replicas.redis-password-file: --replicas.redis-url has a password too; remove it from the URL",
        ),
        (
            of("redis://hunter2@h"),
            "--replicas.redis-url: it has a user, but no password; give it with --replicas.redis-password-file, or write \
             redis://:PASSWORD@HOST if there is no user",
        ),
    ] {
        let error = settings.check().unwrap_err();
        assert!(error.starts_with(expected) && !error.contains("hunter2"), "{error}");
    }
}

/// The settings with files of this text, and the directory that has them.
fn with_files(files: &[(&str, &[u8])]) -> (ReplicasSettings, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = ReplicasSettings { redis_url: Some(url("rediss://h")), ..ReplicasSettings::default() };
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        let place = match *name {
            "password" => &mut settings.password_file,
            "ca" => &mut settings.ca_file,
            "cert" => &mut settings.cert_file,
            _ => &mut settings.key_file,
        };
        *place = Some(path);
    }
    (settings, directory)
}

#[test]
fn the_files_are_read() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["h".to_owned()]).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
    let (settings, _directory) =
        with_files(&[("password", b"hunter2\r\n"), ("ca", certificate), ("cert", certificate), ("key", key)]);
    let files = RedisFiles::read(&settings).map_err(|error| error.to_string()).unwrap();
    assert_eq!(files.password.as_deref(), Some("hunter2"));
    assert!(files.identity.is_some_and(|identity| identity.certificates == [cert.der().clone()]));
    for (files, expected) in [
        (&[("password", &b""[..])][..], "--replicas.redis-password-file FILE: it must have the password, on one line"),
        (
            &[("password", b"hunter2\nhunter2\n")],
            "--replicas.redis-password-file FILE: it must have the password, on one",
        ),
        (
            &[("password", &[b'x'; 5000])],
            "--replicas.redis-password-file FILE: the file is larger than the limit of 4096",
        ),
        (&[("ca", b"")], "--replicas.redis-ca-file FILE: "),
        (&[("cert", key), ("key", key)], "--replicas.redis-cert-file FILE: "),
        (&[("cert", certificate), ("key", certificate)], "--replicas.redis-key-file FILE: "),
    ] {
        let (settings, directory) = with_files(files);
        let path = directory.path().join(files[files.len() - 1].0).display().to_string();
        let first = directory.path().join(files[0].0).display().to_string();
        let error =
            RedisFiles::read(&settings).err().unwrap().to_string().replace(&path, "FILE").replace(&first, "FILE");
        assert!(error.starts_with(expected) && !error.contains("hunter2"), "{error}");
    }
    let (mut settings, _directory) = with_files(&[]);
    settings.password_file = Some("/nowhere/password".into());
    let missing = RedisFiles::read(&settings).err().unwrap().to_string();
    let expected = "--replicas.redis-password-file /nowhere/password: No such file or directory";
    assert!(missing.starts_with(expected) && missing.ends_with("give a readable file"), "{missing}");
}
