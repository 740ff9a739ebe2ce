//! The image that deploy/image.sh makes without Docker: run by Docker, and unpacked in a network without IPv4; with a
//! read-only root directory, a volume for the state, and any user.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use support::namespace::Namespace;
use support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, eventually, message, signal};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Vec<u8> {
    let ran = Command::new(&arguments[0])
        .args(&arguments[1..])
        .envs([("BUILD_REVISION", "0123456789ab"), ("SOURCE_DATE_EPOCH", "1700000000")])
        .output()
        .expect("buildah, jq and skopeo must be installed");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

/// An archive of the image with the tested program.
fn archive(folder: &Path, name: &str) -> PathBuf {
    let archive = folder.join(name);
    let script = Path::new(SOURCE).join("deploy/image.sh");
    run(&[script.as_os_str(), env!("CARGO_BIN_EXE_openim-exporter").as_ref(), archive.as_ref()]);
    archive
}

/// The image's configuration, read from the archive in one of its two formats.
fn config(format: &str, archive: &Path) -> Value {
    let from = format!("{format}:{}", archive.display());
    serde_json::from_slice(&run(&["skopeo", "inspect", "--raw", "--config", &from])).unwrap()
}

#[test]
#[ignore = "needs root, buildah, jq and skopeo"]
fn the_archive_is_reproducible_and_says_what_it_contains() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first.tar", "second.tar"].map(|name| archive(folder.path(), name));
    assert!(fs::read(&first).unwrap() == fs::read(second).unwrap(), "the archives differ");
    let config = config("oci-archive", &first);
    // Older versions of Docker read this format.
    assert_eq!(self::config("docker-archive", &first), config);
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    let config = &config["config"];
    let check = json!(["CMD", "/usr/local/bin/openim-exporter", "healthcheck"]);
    let volumes = json!({"/data": {}});
    for (key, expected) in [
        ("User", &json!("65532:65532")),
        ("Entrypoint", &json!(["/usr/local/bin/openim-exporter"])),
        ("Volumes", &volumes),
        ("StopSignal", &json!("SIGTERM")),
    ] {
        assert_eq!(&config[key], expected, "{key}");
    }
    assert_eq!(config["Healthcheck"]["Test"], check);
    let labels = config["Labels"].as_object().unwrap();
    for (label, expected) in [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", "0123456789ab"),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
    ] {
        assert_eq!(labels[&format!("org.opencontainers.image.{label}")], expected);
    }
}

/// A Docker engine with images, volumes and containers of its own. It ends when dropped, and its containers with it.
struct Docker {
    folder: tempfile::TempDir,
    engine: Child,
}

impl Docker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let engine = Command::new("dockerd")
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("socket"))])
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .expect("docker.io must be installed");
        let docker = Self { folder, engine };
        eventually("Docker", || docker.command(&["version"]).output().unwrap().status.success());
        docker
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        let socket = self.folder.path().join("socket");
        command.arg("--host").arg(format!("unix://{}", socket.display())).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let ran = self.command(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", printed(&ran));
        printed(&ran).trim().to_owned()
    }

    /// A part of what Docker knows about a container.
    fn inspect(&self, container: &str, part: &str) -> String {
        self.run(&["inspect", container, "--format", &format!("{{{{{part}}}}}")])
    }

    /// What curl prints in a container's network.
    fn curl(&self, container: &str, arguments: &[&str]) -> String {
        let target = self.inspect(container, ".State.Pid");
        let curl = ["nsenter", "--net", "--target", &target, "curl", "-sS", "--max-time", "5"];
        String::from_utf8(run(&[&curl, arguments].concat())).unwrap()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        signal(self.engine.id(), "TERM");
        let _ = self.engine.wait();
    }
}

#[test]
#[ignore = "needs root, buildah, jq, docker.io and curl"]
fn docker_runs_the_archive_as_any_user_and_finds_it_healthy() {
    let (folder, docker) = (tempfile::tempdir().unwrap(), Docker::start());
    docker.run(&["load", "--input", archive(folder.path(), "image.tar").to_str().unwrap()]);
    let image = concat!("openim-exporter:", env!("CARGO_PKG_VERSION"));
    for (name, user) in [("of-the-image", &[][..]), ("of-openshift", &["--user", "1234567:0"])] {
        let volume = format!("{name}:/data");
        let flags = ["--read-only", "--cap-drop", "ALL", "--network", "none", "--health-interval", "1s"];
        let run = ["run", "--detach", "--name", name, "--volume", &volume];
        docker.run(&[&run, &flags[..], user, &[image]].concat());
        for messages in [1, 2] {
            eventually("health", || docker.inspect(name, ".State.Health.Status") == "healthy");
            let url = format!("http://127.0.0.1:10006{GROUP_MESSAGE_PATH}");
            let json = "Content-Type: application/json";
            assert_eq!(docker.curl(name, &["-H", json, "-d", &message("g", "u"), &url]), SUCCESS);
            let metrics = docker.curl(name, &["http://127.0.0.1:10006/metrics"]);
            let count = format!("\nopenim_group_message_content_bytes_count {messages}\n");
            assert!(metrics.contains(&count), "{name}: {count}");
            docker.run(&["stop", name]);
            assert_eq!(docker.inspect(name, ".State.ExitCode"), "0");
            docker.run(&["start", name]);
        }
        docker.run(&["rm", "--force", name]);
    }
}

/// The image, unpacked.
struct Image {
    _folder: tempfile::TempDir,
    root: PathBuf,
    config: Value,
}

impl Image {
    fn unpack() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path(), "image.tar");
        let config = config("oci-archive", &archive)["config"].take();
        let [layout, root] = ["layout", "root"].map(|name| folder.path().join(name));
        let to = |directory: &Path, archive: &Path| {
            fs::create_dir(directory).unwrap();
            run(&["tar".as_ref(), "-xf".as_ref(), archive.as_os_str(), "-C".as_ref(), directory.as_os_str()]);
        };
        to(&layout, &archive);
        let list: Value = serde_json::from_slice(&fs::read(layout.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(list[0]["Layers"].as_array().unwrap().len(), 1);
        to(&root, &layout.join(list[0]["Layers"][0].as_str().unwrap()));
        // What container engines put there.
        fs::create_dir(root.join("proc")).unwrap();
        fs::write(root.join("etc/hosts"), "::1 localhost exporter.test\n").unwrap();
        Self { _folder: folder, root, config }
    }

    /// Its program with these arguments, as a user (`ID:GROUP`), with a volume.
    fn command(&self, namespace: &Namespace, user: &str, volume: &Path, arguments: &[&str]) -> Command {
        let script = r#"root=$1 volume=$2 user=$3; shift 3
            mount --bind "$root" "$root"; mount -t proc proc "$root/proc"; mount --bind "$volume" "$root/data"
            mount -o remount,bind,ro "$root"; ! touch "$root/file" 2>&-
            exec env -i "$@""#;
        let mut command = namespace.command(&["unshare", "--mount", "sh", "-ec", script, "sh"]);
        command.arg(&self.root).arg(volume).arg(user);
        command.args(self.config["Env"].as_array().unwrap().iter().map(|variable| variable.as_str().unwrap()));
        command.args(["/usr/sbin/chroot", "--groups=", "--userspec", user]).arg(&self.root);
        command.args(self.config["Entrypoint"][0].as_str()).args(arguments);
        command
    }

    /// A new volume, as container engines make it: a copy of the directory in the image.
    fn volume(&self) -> tempfile::TempDir {
        let parent = tempfile::tempdir().unwrap();
        run(&["cp".as_ref(), "-a".as_ref(), self.root.join("data").as_os_str(), parent.path().as_os_str()]);
        parent
    }
}

/// A network without IPv4.
fn network() -> Namespace {
    Namespace::new("ip link set lo up; ip -4 address flush dev lo")
}

fn printed(ran: &Output) -> String {
    String::from_utf8_lossy(&[&ran.stdout[..], &ran.stderr].concat()).into_owned()
}

#[test]
#[ignore = "needs root, buildah, jq, skopeo, iproute2 and curl"]
fn the_image_serves_as_any_user_with_a_read_only_root_and_ipv6_only() {
    let (image, network) = (Image::unpack(), network());
    let metrics = || network.curl(&["http://[::1]:10006/metrics"]);
    let check = image.config["Healthcheck"]["Test"][2].as_str().unwrap();
    // The image's user, and one of OpenShift.
    for user in [image.config["User"].as_str().unwrap(), "1234567:0"] {
        let parent = image.volume();
        let volume = parent.path().join("data");
        let healthcheck = || image.command(&network, user, &volume, &[check]).output().unwrap();
        for messages in [1, 2] {
            let exporter = Exporter::run(&mut image.command(&network, user, &volume, &[]));
            let url = format!("http://[::1]:10006{GROUP_MESSAGE_PATH}");
            let json = "Content-Type: application/json";
            assert_eq!(network.curl(&["-H", json, "-d", &message("g", "u"), &url]), SUCCESS);
            let count = format!("\nopenim_group_message_content_bytes_count {messages}\n");
            eventually("the message", || metrics().contains(&count));
            let checked = healthcheck();
            assert!(checked.status.success(), "{}", printed(&checked));
            exporter.signal("TERM");
            let (status, log) = exporter.wait();
            assert!(status.success() && log.iter().all(|line| !line.contains("level=warn")), "{user}: {log:#?}");
        }
        assert_eq!(healthcheck().status.code(), Some(1));
        let state = fs::metadata(volume.join("state")).unwrap();
        assert_eq!((format!("{}:{}", state.uid(), state.gid()), state.mode() & 0o777), (user.to_owned(), 0o600));
    }
}

#[test]
#[ignore = "needs root, buildah, jq, skopeo, iproute2 and curl"]
fn the_image_finds_names_and_certificates_and_explains_a_volume_that_it_cannot_use() {
    let (image, network) = (Image::unpack(), network());
    let (parent, user) = (image.volume(), "1234567:0");
    let volume = parent.path().join("data");
    let exporter = Exporter::run(&mut image.command(&network, user, &volume, &[]));
    let flags = ["simulate", "--target", "http://exporter.test:10006/callback", "--count", "5"];
    let sent = image.command(&network, user, &volume, &flags).output().unwrap();
    assert!(sent.status.success(), "{}", printed(&sent));
    drop(exporter);
    let flags = ["--check-config", "--forward.url", "https://business.test/"];
    let check = || image.command(&network, user, &volume, &flags).output().unwrap();
    let checked = check();
    assert!(checked.status.success(), "{}", printed(&checked));
    fs::remove_dir_all(image.root.join("etc/ssl")).unwrap();
    let checked = check();
    assert!(!checked.status.success() && printed(&checked).contains("trusts no CA"), "{}", printed(&checked));
}

#[test]
#[ignore = "needs root, buildah, jq, skopeo and iproute2"]
fn a_volume_of_another_user_is_used_through_its_group_or_the_error_says_what_to_do() {
    let (image, network) = (Image::unpack(), network());
    let (parent, closed) = (image.volume(), tempfile::tempdir().unwrap());
    let volume = parent.path().join("data");
    let run = |user: &str| {
        let exporter = Exporter::run(&mut image.command(&network, user, &volume, &[]));
        exporter.signal("TERM");
        let (status, log) = exporter.wait();
        assert!(status.success(), "{log:#?}");
        log.into_iter().filter(|line| line.contains("level=warn")).collect::<Vec<_>>()
    };
    assert_eq!(run("1234567:0"), [""; 0]);
    // A directory of root, and the files of the last user.
    for volume in [closed.path(), &volume] {
        let ran = image.command(&network, "7654321:0", volume, &[]).output().unwrap();
        assert_eq!(ran.status.code(), Some(1));
        for part in ["/data/lock", "Permission denied", "user 7654321 must be able to", "correct its owner or mode"] {
            assert!(printed(&ran).contains(part), "{part}: {}", printed(&ran));
        }
    }
    // Kubernetes gives the group access to the files (fsGroup). All users may list the root of a new file system.
    let chmod = |mode: &str| self::run(&["chmod", "-R", mode, volume.to_str().unwrap()]);
    chmod("g+rwX");
    self::run(&["chmod", "2775", volume.to_str().unwrap()]);
    assert_eq!(run("7654321:0"), [""; 0]);
    // All users are too many.
    chmod("o+rwX");
    let warned = run("7654321:0");
    assert!(warned.len() == 3 && warned.iter().all(|line| line.contains("other users have access")), "{warned:#?}");
}
