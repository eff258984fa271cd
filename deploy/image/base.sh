#!/usr/bin/env bash
# Builds a stand-in for an official Python image, such as python:3.13.15-slim-trixie, in the storage of buildah and
# podman: the same Debian release with Debian's Python of the same minor version. It is for builds and tests without an
# image registry, not for publishing.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || {
  printf 'leakwatch: only root can build a stand-in for %s (debootstrap); pull the official image, or run as root\n' "$1" >&2
  exit 1
}
base=$1
suite=${base##*-}
python=$(sed -E 's/^.*:([0-9]+\.[0-9]+)\..*$/\1/' <<<"$base")

"$(dirname "${BASH_SOURCE[0]}")/../../.ci/tools.sh" buildah debootstrap
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# The mirror of apt on this machine. Empty if it is not a Debian mirror; debootstrap then uses its default.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
printf 'leakwatch: building a stand-in for %s (a minute or two, once)\n' "$base" >&2
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$root" ${mirror:+"$mirror"} >&2
[ -x "$root/usr/bin/python$python" ] || {
  printf 'leakwatch: Debian %s does not have Python %s: cannot build a stand-in for %s\n' "$suite" "$python" "$base" >&2
  exit 1
}
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >&2
# With `localhost/`, the short name works, and the image cannot be confused with the official one.
buildah commit --quiet --rm "$container" "localhost/$base" >&2
