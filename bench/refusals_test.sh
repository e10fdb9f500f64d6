#!/usr/bin/env bash
# What can't run says so, and leaves the rest intact: refusals_test.sh PROGRAM DIRECTORY
set -euo pipefail
program=$1
work=$(mktemp -d "$2/refusals_test.XXXXXX")
trap 'rm -rf "$work"' EXIT

# refused STATUS TEXT ARGUMENT...: ends with the status, and says the text.
refused() {
  local wanted=$1 text=$2 status=0 output
  shift 2
  output=$("$program" --directory "$work" "$@" 2>&1) || status=$?
  [[ $status == "$wanted" && $output == *"$text"* ]] && return 0
  echo "refusals_test: '$*' ended with $status, not $wanted with '$text':" >&2
  echo "$output" >&2
  exit 1
}

refused 109 '--no-such-option' --no-such-option
refused 105 '--theta' --workload ops --theta 1.5
refused 2 "no workload is called 'nothing'; there are: read scan" --workload nothing
refused 2 "no subject is called 'oracle'; there are: isolde-ru-opt" --subjects oracle
refused 2 "no section is called 'speed'; there are: overhead clients" --sections speed
refused 2 'none of these subjects' --sections levels --subjects lmdb
# The last of two directories counts: ./dev bench gives one before its user's.
"$program" --directory "$(dirname "$work")" --directory "$work" --workload read --subjects lmdb \
  --keys 100 --seconds 0.01 --repetitions 1 >/dev/null 2>&1 || {
  echo "refusals_test: of two directories the last was not taken" >&2
  exit 1
}
while read -r engine; do
  refused 2 'not in this build' --subjects "$engine"
done < <("$program" --list | sed -nE 's/^  ([a-z]+) +not in this build.*/\1/p')

# A disk that is full for one engine, whose log is allocated beforehand: that one says so, the other
# is measured.
status=0
output=$(
  ulimit -f 8192 # kilobytes in a file
  "$program" --directory "$work" --workload rmw --subjects isolde-rr-opt,lmdb --keys 1000 \
    --seconds 0.01 --repetitions 1 2>/dev/null
) || status=$?
full='^  isolde-rr-opt +(isolde: (disk_full|io_error)|its process ended: File size)'
if ! grep -qE "$full" <<<"$output" || ! grep -qE '^  lmdb +[0-9.]+[kM]?/s' <<<"$output" ||
  ((status != 1)); then
  echo "refusals_test: on a full disk, it ended with $status and said:" >&2
  echo "$output" >&2
  exit 1
fi
[[ -z $(ls -A "$work") ]] || {
  echo "refusals_test: stores were left behind" >&2
  exit 1
}
echo "refused as it should be"
