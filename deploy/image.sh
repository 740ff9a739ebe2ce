#!/usr/bin/env bash
# Packs a program into an image, as the Dockerfile says, without Docker and without a registry:
#
#   deploy/image.sh dist/openim-exporter openim-exporter.oci.tar
#
# `docker load`, `podman load` and `skopeo copy oci-archive:` read the archive. The same program, certificates and commit make
# the same bytes. BUILD_REVISION and SOURCE_DATE_EPOCH take precedence over the commit's. Needs root.
set -euo pipefail
shopt -s inherit_errexit
[[ $# -eq 2 ]] || { echo "usage: deploy/image.sh PROGRAM ARCHIVE" >&2; exit 2; }
for needed in buildah jq readelf; do
    command -v $needed >/dev/null || { echo "$needed is missing: apt-get install buildah jq binutils" >&2; exit 1; }
done
source=$(cd "$(dirname "$0")/.." && pwd)
commit() { git -C "$source" log -1 --abbrev=12 --format="$1"; }
revision=${BUILD_REVISION:-$(commit %h)}
created=${SOURCE_DATE_EPOCH:-$(commit %ct)}
version=$(sed -n 's/.*image\.version="\(.*\)".*/\1/p' "$source/Dockerfile")
case $(readelf --file-header "$1") in
    *X86-64*) architecture=amd64 ;;
    *AArch64*) architecture=arm64 ;;
    *) echo "$1 is not a program for x86_64 or aarch64" >&2; exit 1 ;;
esac

work=$(mktemp -d)
# Not the machine's own images. The driver needs no kernel module.
images() { buildah --root "$work/images" --runroot "$work/run" --storage-driver vfs "$@"; }
trap 'rm -rf "$work"' EXIT

# The stage `build` is not built: this directory takes its place.
mkdir -p "$work/stage/build"
"$source/deploy/image-root.sh" "$1" "$work/stage/build/root"
images build --quiet --isolation chroot --format docker --identity-label=false --timestamp "$created" \
    --arch $architecture --build-arg BUILD_REVISION="$revision" --build-context build="$work/stage" \
    --tag openim-exporter:"$version" "$source" >/dev/null
images push --quiet --format oci openim-exporter:"$version" oci:"$work/layout:openim-exporter:$version" >/dev/null

cd "$work/layout"
blob() { echo "blobs/sha256/${1#sha256:}"; }
# Edits a blob with a jq program, and prints its new descriptor.
edited() {
    local old new
    old=$(blob "$1")
    jq -cj "${@:2}" "$old" >"$work/blob"
    new=$(sha256sum <"$work/blob" | cut -d' ' -f1)
    rm "$old"
    mv "$work/blob" "blobs/sha256/$new"
    jq -cn --arg digest "sha256:$new" --argjson size "$(stat -c %s "blobs/sha256/$new")" '{$digest, $size}'
}
# Docker and BuildKit keep the health check in the configuration, where buildah drops it from an OCI image.
check=$(images inspect --type image openim-exporter:"$version" | jq .Docker.config.Healthcheck)
manifest=$(jq -r '.manifests[0].digest' index.json)
config=$(edited "$(jq -r .config.digest "$(blob "$manifest")")" --argjson check "$check" '.config.Healthcheck = $check')
manifest=$(edited "$manifest" --argjson config "$config" '.config += $config')
jq -cj --argjson manifest "$manifest" '.manifests[0] += $manifest' index.json >"$work/index.json"
mv "$work/index.json" .
# Versions of Docker before 25 read this list instead of the index.
jq -cj --arg tag openim-exporter:"$version" '
    def blob: "blobs/" + sub(":"; "/");
    [{Config: .config.digest | blob, RepoTags: [$tag], Layers: [.layers[].digest | blob]}]' \
    "$(blob "$(jq -r .digest <<<"$manifest")")" >manifest.json
cd - >/dev/null
tar --sort=name --mtime=@"$created" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    -C "$work/layout" -cf "$2" blobs index.json manifest.json oci-layout
