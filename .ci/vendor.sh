#!/usr/bin/env bash
# Downloads the npm packages of the web pages in the versions of packages.txt, and verifies their checksums.
#
#   .ci/vendor.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../leakwatch/web/pages/static/vendor"
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # name, version, integrity: unpacks the package into $work/<name>
  local packed got
  packed=$(cd "$work" && npm pack --silent "$1@$2")
  got="sha512-$(openssl dgst -sha512 -binary "$work/$packed" | base64 -w0)"
  [ "$got" = "$3" ] || { echo "vendor: $1@$2 is $got, not $3" >&2 && exit 1; }
  mkdir "$work/$1" && tar -xzf "$work/$packed" -C "$work/$1" --strip-components 1
}

: >"$work/d3.js"
: >"$work/d3.txt"
while read -r name version integrity _; do
  case $name in '#'* | '') continue ;; esac
  fetch "$name" "$version" "$integrity"
  case $name in
    d3-flame-graph | uplot) ;;
    *)
      cat "$work/$name/dist/$name.min.js" >>"$work/d3.js"
      { printf '%s %s\n\n' "$name" "$version" && cat "$work/$name/LICENSE" && echo; } >>"$work/d3.txt"
      ;;
  esac
done <packages.txt

cp "$work/uplot/dist/uPlot.iife.min.js" "$work/uplot/dist/uPlot.min.css" "$here"
cp "$work/uplot/LICENSE" "$here/uPlot.LICENSE"
cp "$work/d3.js" "$here/d3.min.js"
cp "$work/d3.txt" "$here/d3.LICENSE"
cp "$work/d3-flame-graph/LICENSE" "$here/d3-flamegraph.LICENSE"
# d3-flame-graph adds a style element, which the Content-Security-Policy blocks. plots.css contains these styles.
{
  echo "// d3-flame-graph, Apache-2.0, changed for leakwatch by .ci/vendor.sh: it adds no style element."
  python3 - "$work/d3-flame-graph/dist/d3-flamegraph.umd.min.js" <<'PY'
import sys

text = open(sys.argv[1]).read()
adds = ",document.head.appendChild(U);"
if text.count(adds) != 1:
    sys.exit("vendor: d3-flame-graph adds its style differently now, check this script")
print(text.replace(adds, ";"), end="")
PY
} >"$here/d3-flamegraph.min.js"
sha256sum -- *.js *.css *.LICENSE >SHA256SUMS
