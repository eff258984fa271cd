#!/usr/bin/env bash
# Builds the image leakwatch:<version> from ./Dockerfile, with Docker if an engine is running, else with buildah. Writes the
# wheel in the image, and the SBOMs of the wheel and of the image, to dist/.
#
#   deploy/image/build.sh [docker|buildah]
#
# buildah uses the base image from its own storage (`buildah pull` downloads the official one). If it is missing, base.sh
# builds a stand-in, so that the image can be built and tested without an image registry.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' leakwatch/__init__.py)
arguments=(--build-arg "VERSION=$version" -t "leakwatch:$version")
labels=()
if revision=$(git rev-parse HEAD 2>/dev/null); then
  git diff --quiet HEAD || revision+=-modified
  source=$(git remote get-url origin 2>/dev/null || true)
  [[ $source == https://* ]] || source=
  created=$(git log -1 --format=%cI)
  arguments+=(--build-arg "SOURCE=$source" --build-arg "REVISION=$revision" --build-arg "CREATED=$created")
  # buildah 1.28 would reuse the labels of the previous revision from its cache.
  labels=(--label "org.opencontainers.image.revision=$revision" --label "org.opencontainers.image.created=$created")
fi

builder=${1:-$(if docker info >/dev/null 2>&1; then echo docker; else echo buildah; fi)}
if [ "$builder" = docker ]; then
  docker build "${arguments[@]}" .
  docker build --target dist --output dist .
  exit
fi

.ci/tools.sh buildah
base=$(awk '$1 == "FROM" { print $2; exit }' Dockerfile)
buildah inspect --type image "$base" >/dev/null 2>&1 || deploy/image/base.sh "$base"

# During the build, pip uses the CA certificates of this machine. The image keeps the certificates of its base image.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '[global]\ncert = /run/builder-certificates.crt\n' >"$scratch/pip.conf"
build() {
  buildah bud --isolation chroot --pull=never --format docker --layers \
    --volume "$scratch/pip.conf:/etc/pip.conf:ro" \
    --volume /etc/ssl/certs/ca-certificates.crt:/run/builder-certificates.crt:ro "$@" .
}
build "${arguments[@]}" ${labels[0]:+"${labels[@]}"}
build --target dist --output dist
