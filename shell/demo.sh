#!/usr/bin/env bash
# The tour on real data: demo.sh PATH-OF-ISOLDE
# Loads this machine's list of installed packages, dumps it back, and plays the shipped scripts on
# that very database at every level.
set -euo pipefail

isolde=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/isolde-demo-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n\n' "$*"; }
run() {
  printf '$ isolde %s\n' "$*"
  (cd "$work" && "$isolde" "$@")
}

command -v dpkg-query > /dev/null || {
  echo "demo: dpkg-query is not here; the demo's data is the list of installed Debian packages" >&2
  exit 2
}
# ${binary:Package}: with several architectures installed, one name would stand for two packages.
# In byte order, as a dump is.
dpkg-query -W -f '${binary:Package}\t${Version}\n' | LC_ALL=C sort > "$work/packages.tsv"

say "This machine's $(wc -l < "$work/packages.tsv") installed packages, name and version, become a keyspace"
head -3 "$work/packages.tsv"
echo "..."
run load packages.db packages.tsv --keyspace packages --as tsv
run verify packages.db

say "Dumped, they are the same list, byte for byte"
run dump packages.db dumped.tsv --keyspace packages --as tsv
cmp "$work/packages.tsv" "$work/dumped.tsv"
echo "packages.tsv and dumped.tsv are identical"

say "Two anomalies on a copy of these packages, at every level"
run run lost-update phantom --level all --database packages.db --keyspace packages

say "And the packages themselves are untouched"
run dump packages.db again.tsv --keyspace packages --as tsv
cmp "$work/packages.tsv" "$work/again.tsv"
echo "packages.tsv and again.tsv are identical"
