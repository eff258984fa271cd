#!/usr/bin/env bash
# Makes a stand-in for an official Python image, such as python:3.13.15-slim-trixie, in the storage of buildah and
# podman: the same Debian release with Debian's own Python of the same minor version. It is for building and testing
# where no registry of images can be reached, not for publishing.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || {
  printf 'leakwatch: only root can make a stand-in for %s (debootstrap); pull the real one, or be root\n' "$1" >&2
  exit 1
}
base=$1
suite=${base##*-}
python=$(sed -E 's/^.*:([0-9]+\.[0-9]+)\..*$/\1/' <<<"$base")

"$(dirname "${BASH_SOURCE[0]}")/../../.ci/tools.sh" buildah debootstrap
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# The mirror that apt uses here. Empty, where that is not Debian's: debootstrap knows one.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
printf 'leakwatch: making a stand-in for %s (a minute or two, once)\n' "$base" >&2
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$root" ${mirror:+"$mirror"} >&2
[ -x "$root/usr/bin/python$python" ] || {
  printf 'leakwatch: Debian %s has no Python %s: no stand-in for %s\n' "$suite" "$python" "$base" >&2
  exit 1
}
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >&2
# `localhost/`: found by its short name, and never taken for the official one.
buildah commit --quiet --rm "$container" "localhost/$base" >&2
