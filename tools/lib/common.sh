# shellcheck shell=bash
# Shared by the scripts of this folder: messages, keys by content, root, steps with a clock.
# Sourced with `root` unset; sets `root` (the repository), `cache` (what is kept between runs).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cortex-vllm
export root cache
export PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 DEBIAN_FRONTEND=noninteractive

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' yellow='' plain=''
fi
export bold dim red green yellow plain

say()  { printf '%s\n' "$*"; }
head1() { printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '    %s\n' "$*"; }
warn() { printf '%swarning:%s %s\n' "$yellow" "$plain" "$*" >&2; }
die()  { printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }

# Runs the rest as root: directly, or by sudo. Without a terminal sudo must not ask for a password.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif [ -t 0 ]; then sudo -- "$@"
  elif sudo -n true 2>/dev/null; then sudo -n -- "$@"
  else
    printf '%serror:%s this needs root (%s): run it as root, or let sudo ask for no password here\n' "$red" "$plain" "$1" >&2
    return 126
  fi
}

# Prints one short key for the content of files and folders (names count, times and owners do not).
# Usage: content_key [-s TEXT]... PATH...
content_key() {
  local text=''
  while [ "${1:-}" = -s ]; do text+="$2"$'\n'; shift 2; done
  { printf '%s' "$text"
    local path
    for path in "$@"; do
      (cd "$(dirname "$path")" && find "$(basename "$path")" -type f -not -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum)
    done
  } | sha256sum | cut -c1-16
}

# Runs a long command with its output in a log, and says every ten seconds that it goes on.
# Usage: long LABEL LOG COMMAND...      (the last lines of the log are shown if it fails)
long() {
  local label=$1 log=$2 begin=$SECONDS pid code=0 last=0 tail_line
  shift 2
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    if [ $((SECONDS - begin - last)) -ge 10 ]; then
      last=$((SECONDS - begin))
      tail_line=$(tr '\r' '\n' <"$log" | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c1-100 || true)
      printf '    %s%4d s  %s: %s%s\n' "$dim" "$last" "$label" "$tail_line" "$plain"
    fi
  done
  wait "$pid" || code=$?
  trap - INT TERM
  if [ "$code" != 0 ]; then
    printf '%s failed (exit status %s) after %s s. The end of %s:\n' "$label" "$code" "$((SECONDS - begin))" "$log" >&2
    tail -n 30 "$log" | sed 's/^/    | /' >&2
    return "$code"
  fi
  note "$label: done in $((SECONDS - begin)) s"
}

# Folders of real interpreters. pyenv's shims answer for versions that are not selected, and then fail; Ansible's
# discovery and ansible-test look for names on PATH and would take them.
real_path() {
  local entry out='' folder
  local IFS=:
  for entry in $PATH; do
    case $entry in *"/.pyenv/shims" | *"/pyenv/shims") continue ;; esac
    out+=${out:+:}$entry
  done
  unset IFS
  for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin; do
    [ -d "$folder" ] && out+=:$folder
  done
  printf '%s' "$out"
}
PATH=$(real_path):/usr/sbin:/sbin
export PATH
unset PYENV_VERSION PYTHONPATH PYTHONHOME VIRTUAL_ENV ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH ANSIBLE_INVENTORY ANSIBLE_ROLES_PATH

# Prints the first Python of at least the given version (default 3.11) and less than 3.14: the system's own first.
find_python() {
  local minimum=${1:-3.11} candidate
  for candidate in ${PYTHON:-} python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
    if "$candidate" -c 'import sys; low = tuple(map(int, sys.argv[1].split("."))); sys.exit(not low <= sys.version_info[:2] <= (3, 13))' \
      "$minimum" 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return 0
    fi
  done
  return 1
}

# Installs packages of the distribution that are not there yet.
tools_apt() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "install these first: ${missing[*]} (only Debian and Ubuntu are set up by this script)"
  as_root apt-get update -qq || warn "apt-get update failed; trying with the package lists that are there"
  as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${missing[@]}" >/dev/null || return 1
  mkdir -p "$cache"
  printf '%s\n' "${missing[@]}" >>"$cache/installed-packages"
}

# docker, also for a user who reaches the engine only as root.
docker() {
  if [ "$(id -u)" = 0 ] || [ -w "${docker_socket:-/var/run/docker.sock}" ] || [ -n "${DOCKER_HOST:-}" ]; then command docker "$@"
  else as_root docker "$@"
  fi
}
