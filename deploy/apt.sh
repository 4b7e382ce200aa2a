# Sourced. apt_install PACKAGE...: install from Debian when this user may; otherwise print the exact command and stop.
apt_install() {
  local sudo=""
  if [ "$(id -u)" -ne 0 ]; then sudo="sudo -n"; fi
  if command -v apt-get >/dev/null && { [ -z "$sudo" ] || $sudo true 2>/dev/null; }; then
    echo "Installing from Debian: $*" >&2
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  else
    echo "These programs are missing and this user may not install them. Run:" >&2
    echo "  sudo apt-get update && sudo apt-get install --no-install-recommends $*" >&2
    exit 2
  fi
}
