#!/usr/bin/env bash
# Builds the image leakwatch:<version> from ./Dockerfile: with Docker where an engine runs, else with buildah.
#
#   deploy/image/build.sh [docker|buildah]
#
# buildah takes the base from its own storage; where it is not (`buildah pull` gets the real one), a stand-in is made
# by base.sh, so that an image can be built and tested without any registry of images.
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
  # buildah 1.28 would take the last revision's labels from its cache.
  labels=(--label "org.opencontainers.image.revision=$revision" --label "org.opencontainers.image.created=$created")
fi

builder=${1:-$(if docker info >/dev/null 2>&1; then echo docker; else echo buildah; fi)}
if [ "$builder" = docker ]; then
  exec docker build "${arguments[@]}" .
fi

.ci/tools.sh buildah
base=$(awk '$1 == "FROM" { print $2; exit }' Dockerfile)
buildah inspect --type image "$base" >/dev/null 2>&1 || deploy/image/base.sh "$base"

# pip trusts whom this machine trusts, during the build only: the image keeps the certificates of its base.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '[global]\ncert = /run/builder-certificates.crt\n' >"$scratch/pip.conf"
buildah bud --isolation chroot --pull=never --format docker --layers \
  --volume "$scratch/pip.conf:/etc/pip.conf:ro" \
  --volume /etc/ssl/certs/ca-certificates.crt:/run/builder-certificates.crt:ro \
  "${arguments[@]}" ${labels[0]:+"${labels[@]}"} .
