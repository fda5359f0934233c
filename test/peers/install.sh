#!/bin/sh
# Installs what the handlers in this folder run on: PHP, Flask, and node with npm
# (Express itself comes by npm when the test runs). Debian and Ubuntu; as root.
set -eu
packages="php-cli python3-flask nodejs npm"
missing=""
command -v php >/dev/null || missing="$missing php-cli"
python3 -c 'import flask' 2>/dev/null || missing="$missing python3-flask"
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
if [ -z "$missing" ]; then
	echo "Nothing to install: $packages are here."
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "Not root. Run: sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
apt-get update -q
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
