#!/usr/bin/env bash
# Makes the files of a release; --help explains it.
set -euo pipefail
shopt -s inherit_errexit
caller=$PWD
cd "$(dirname "$0")/.."

# The oldest glibc that the program may need. docs/install.md names it and the systems that have it, and says why the
# program is not static.
oldest_glibc=2.34
# The largest program, in bytes.
largest=8000000
# The versions that are installed if there are none.
cargo_deb=3.8.0 cargo_cyclonedx=0.5.9

usage() {
    cat <<END
Makes the files of a release from this source. Rust must be installed. Everything else is installed if it is missing:
Debian packages with apt-get (as root or with sudo), cargo-deb and cargo-cyclonedx with cargo install.

  deploy/package.sh [--target TRIPLE] [--output DIR] [--program FILE] [--no-image]

  --target TRIPLE  the platform; this machine's by default
  --output DIR     where to put the files; default: dist in the source
  --program FILE   package this program instead of building one; for tests; its glibc is checked, but not its size
  --no-image       make no container image, which needs root

Platforms:
  x86_64-unknown-linux-gnu   tested; needs glibc $oldest_glibc or newer, so build it on Debian 12 or something as old
  aarch64-unknown-linux-gnu  NOT TESTED; can be cross-compiled, but then without the image, because that contains
                             libraries of the machine that makes it
  x86_64-unknown-linux-musl  NOT TESTED; one static program that needs no libc, without a Debian package

Files; NAME is openim-exporter-VERSION-TRIPLE:
  NAME.tar.gz                       the program, man pages, completions, documentation, units, rules, dashboards
  NAME-debug.tar.gz                 its debug information, for debuggers and core dumps
  NAME.oci.tar                      the container image, for docker load, podman load and skopeo
  NAME.cdx.json                     the libraries in the program and their licences (SBOM, CycloneDX)
  openim-exporter_VERSION_ARCH.deb  the Debian package
  SHA256SUMS                        the checksums of all files of this version in DIR, of all platforms

Variables:
  BUILD_REVISION     the commit, for a source without its git repository
  SOURCE_DATE_EPOCH  the time of all files in the archives, in seconds; default: the commit's time

The same source, compiler and time make the same files.
Example: deploy/package.sh && (cd dist && sha256sum -c SHA256SUMS)
END
}

fail() { echo "deploy/package.sh: $*" >&2; exit 1; }
wrong() { echo "deploy/package.sh: $*; see deploy/package.sh --help" >&2; exit 2; }
section() { printf '==== %s (%d s)\n' "$1" "$SECONDS"; }
as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi; }

# Installs Debian packages. Each is given as PACKAGE:PROGRAM or PACKAGE:FILE, and is installed if the program or file is
# missing.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair#*:}" >/dev/null || [[ -f ${pair#*:} ]] || missing+=("${pair%%:*}")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || fail "install these first: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Installs a subcommand of cargo. Without optimization this takes a minute less.
need_cargo() {
    command -v "$1" >/dev/null || cargo install --quiet --locked --debug "$1" --version "$2"
}

# A tar.gz of a directory in the staging area, with nothing of this machine in it.
pack() {
    tar --sort=name --format=gnu --mtime=@"$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        -C "$stage" -cf - "$1" | gzip -n9 >"$output/$1.tar.gz"
}

command -v cargo >/dev/null || fail "install Rust 1.91 or newer first: https://rustup.rs"
target=$(rustc -vV | sed -n 's/^host: //p') output=dist program="" image=yes
host=$target
while [[ $# -gt 0 ]]; do
    case $1 in
        --target | --output | --program)
            [[ -n ${2-} ]] || wrong "$1 needs a value"
            value=$2
            # A relative path starts from the caller's directory.
            [[ $1 == --target || $value == /* ]] || value=$caller/$value
            declare "${1#--}=$value"
            shift ;;
        --no-image) image="" ;;
        -h | --help) usage; exit ;;
        *) wrong "unknown argument $1" ;;
    esac
    shift
done
[[ -z $program || -f $program ]] || wrong "--program: there is no file $program"
prefix="" deb=yes compilers=()
case $target in
    x86_64-unknown-linux-gnu) [[ $host == "$target" ]] || fail "$target can only be built on x86_64" ;;
    x86_64-unknown-linux-musl) deb="" compilers=(musl-tools:musl-gcc) ;;
    aarch64-unknown-linux-gnu)
        if [[ $host != "$target" ]]; then
            # The compiler only recommends the C library.
            compilers=(gcc-aarch64-linux-gnu:aarch64-linux-gnu-gcc)
            compilers+=(libc6-dev-arm64-cross:/usr/aarch64-linux-gnu/lib/crt1.o)
            prefix=aarch64-linux-gnu-
            export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=${prefix}gcc
            [[ -z $image ]] || echo "No container image: this machine has no libraries for $target"
            image=""
        fi ;;
    *) wrong "--target: unknown platform $target" ;;
esac
# With --program, nothing is compiled for the platform.
[[ -z $program ]] || compilers=()
mkdir -p "$output"
output=$(realpath "$output")
version=$(sed -n '0,/^version = /s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=openim-exporter-$version-$target
directory=${CARGO_TARGET_DIR:-target}/$target/release
# In the build's directory, because there cargo-deb finds it for every platform.
stage=$directory/package
if [[ -e .git ]]; then
    revision=${BUILD_REVISION:-$(git rev-parse --short=12 HEAD)}
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
else
    revision=${BUILD_REVISION:-unknown}
    # An archive gives its files the commit's time.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y Cargo.toml)}
fi
export SOURCE_DATE_EPOCH

section "What the packages need"
# Build scripts and the example that writes the man pages always run on this machine, so its compiler is needed too.
need gcc:cc "${compilers[@]}" binutils:readelf "binutils${prefix:+-${prefix%-}}:${prefix}objcopy" gzip:gzip
[[ -z $image ]] || need buildah:buildah jq:jq
if [[ -n $deb ]]; then
    need dpkg-dev:dpkg-shlibdeps
    need_cargo cargo-deb $cargo_deb
fi
need_cargo cargo-cyclonedx $cargo_cyclonedx

rm -rf "$stage"
mkdir -p "$stage/$name"
if [[ -z $program ]]; then
    section "The program, revision $revision: takes minutes"
    [[ $target == "$host" ]] || ! command -v rustup >/dev/null || rustup target add "$target"
    # No path of this machine gets into the program.
    flags=(--remap-path-prefix="$PWD"=/openim-exporter --remap-path-prefix="${CARGO_HOME:-$HOME/.cargo}/registry/src"=/crates)
    encoded=$(printf '%s\x1f' "${flags[@]}")
    BUILD_REVISION=$revision CARGO_ENCODED_RUSTFLAGS=${encoded%?} \
        cargo build --release --locked --bin openim-exporter --target "$target"
    program=$directory/openim-exporter
fi
OBJCOPY=${prefix}objcopy deploy/strip.sh "$program" "$stage/stripped"
stripped=$stage/stripped/openim-exporter
size=$(stat -c %s "$stripped")
glibc=$(readelf -VW "$stripped" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 || true)
glibc=${glibc#GLIBC_}
echo "$size bytes, needs ${glibc:+glibc }${glibc:-no libc}"
[[ $program != "$directory/openim-exporter" ]] || ((size <= largest)) || fail "the program has $size bytes, more than $largest"
[[ $target != *-musl || $(readelf -lW "$stripped") != *INTERP* ]] || fail "the program is not static"
[[ $(printf '%s\n' "$glibc" $oldest_glibc | sort -V | tail -n 1) == "$oldest_glibc" ]] ||
    fail "the program needs glibc $glibc, newer than $oldest_glibc: build it on an older system, such as Debian 12"

section "Man pages and completions"
cargo run --quiet --locked --example texts -- "$stage/$name"

section "$name.tar.gz"
cp "$stripped" LICENSE ./*.md prometheus.yml "$stage/$name"
mkdir "$stage/$name"/{docs,deploy}
cp docs/*.{md,png,svg} "$stage/$name/docs"
cp -r deploy/*.{yml,conf,cfg,service,socket} deploy/demo.sh deploy/chart "$stage/$name/deploy"
# This one builds the image from the source.
rm "$stage/$name/deploy/compose.yml"
cp -r prometheus grafana "$stage/$name"
pack "$name"
mkdir "$stage/$name-debug"
cp "$stripped.debug" "$stage/$name-debug"
pack "$name-debug"

if [[ -n $deb ]]; then
    section "Debian package"
    root=$stage/deb shared=$stage/deb/usr/share
    documents=$shared/doc/openim-exporter
    mkdir -p "$root"/usr/lib/systemd/system "$root"/etc/default "$documents" "$shared"/{openim-exporter,man/man1} \
        "$shared"/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d,lintian/overrides}
    # A package has a fixed user, whose groups and files an administrator can choose.
    sed -e '/^#.*Copy this file/,/^# To upgrade/d' -e 's|/usr/local/bin/|/usr/bin/|' \
        -e 's/^DynamicUser=yes$/User=openim-exporter/' \
        deploy/openim-exporter.service >"$root/usr/lib/systemd/system/openim-exporter.service"
    cp deploy/openim-exporter.socket "$root/usr/lib/systemd/system"
    cp deploy/debian/default "$root/etc/default/openim-exporter"
    cp deploy/debian/lintian-overrides "$shared/lintian/overrides/openim-exporter"
    cp "$stage/$name"/man/*.1 "$shared/man/man1"
    gzip -n9 "$shared"/man/man1/*
    cp "$stage/$name/completions/openim-exporter.bash" "$shared/bash-completion/completions/openim-exporter"
    cp "$stage/$name/completions/_openim-exporter" "$shared/zsh/vendor-completions"
    cp "$stage/$name/completions/openim-exporter.fish" "$shared/fish/vendor_completions.d"
    cp -r ./*.md docs "$documents"
    rm -r "$documents"/docs/{*.py,measured}
    gzip -n9 <CHANGELOG.md >"$documents/changelog.gz"
    rm "$documents/CHANGELOG.md"
    cp -r "$stage/$name"/{prometheus,prometheus.yml,grafana,deploy} "$shared/openim-exporter"
    # Cargo.toml adds the script, which must be executable.
    rm "$shared"/openim-exporter/deploy/*.{service,socket,sh}
    printf 'openim-exporter (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$version-1" \
        "$(sed -n 's/^maintainer = "\(.*\)"/\1/p' Cargo.toml)" "$(date -uRd @"$SOURCE_DATE_EPOCH")" |
        gzip -n9 >"$documents/changelog.Debian.gz"
    cargo deb --quiet --no-build --no-strip --target "$target" --output "$output"
fi

section "SBOM"
# cargo-cyclonedx writes beside the manifest. So give it a directory of links: others may be reading the source.
source=$(realpath "$stage")/source
mkdir "$source"
ln -s "$PWD"/* "$source"
cargo cyclonedx --quiet --format json --target "$target" --spec-version 1.5 --manifest-path "$source/Cargo.toml" \
    --override-filename "$name.cdx"
sed "s|file://$source#|file:///#|" "$source/$name.cdx.json" >"$output/$name.cdx.json"

if [[ -n $image ]]; then
    section "Container image"
    BUILD_REVISION=$revision deploy/image.sh "$stripped" "$output/$name.oci.tar"
fi

section "Checksums"
cd "$output"
# The files of all platforms, but not the directories of unpacked archives, whose names have no extension.
sha256sum openim-exporter[-_]"$version"-*.* >SHA256SUMS
cat SHA256SUMS
