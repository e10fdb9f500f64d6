#!/usr/bin/env bash
# What is measured leaves nothing behind, neither where it was called from nor where its stores were,
# also if it is stopped: leaves_nothing_test.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
work=$(mktemp -d) pid=
trap '[[ -z $pid ]] || kill "$pid"; rm -rf "$work"' EXIT
mkdir "$work/called_from" "$work/stores"
mkfifo "$work/begun"
cd "$work/called_from"

fail() {
  echo "leaves_nothing_test: $*" >&2
  exit 1
}

nothing_here() { [[ -z $(ls -A .) ]] || fail "$1, in the current folder: $(ls -A .)"; }

# With and without --directory; beside the program there may be some of an earlier run.
stores() { find "$work/stores" "$(dirname "$program")" -maxdepth 1 -name 'isolde_bench.??????'; }
before=$(stores)

nothing_left() {
  nothing_here "after $1"
  [[ $(stores) == "$before" ]] || fail "after $1: $(stores)"
}

for measured in '--workload rmw' --held-snapshot '--micro --benchmark_min_time=0.001'; do
  read -ra words <<<"$measured"
  "$program" "${words[@]}" --keys 100 --subjects isolde-rr-opt,lmdb --seconds 0.01 --repetitions 1 \
    >"$work/output" 2>&1 || fail "$measured failed: $(cat "$work/output")"
  nothing_left "$measured"
done

# stopped STATUS SIGNAL ONE|ALL ARGUMENT...: the signal comes when the first line was written, to the
# process or, as a terminal's Ctrl-C does, to its group.
stopped() {
  local wanted=$1 signal=$2 to=$3 status=0
  shift 3
  set -m # a group of its own, which does not ignore SIGINT
  "$program" "$@" >"$work/begun" 2>&1 &
  pid=$!
  set +m
  {
    read -r _
    nothing_here "during $*"
    [[ $(stores) != "$before" ]] || fail "$* has no stores to leave"
    if [[ $to == ALL ]]; then kill "-$signal" -- "-$pid"; else kill "-$signal" "$pid"; fi
    cat >"$work/output"
  } <"$work/begun"
  wait "$pid" || status=$?
  pid=
  [[ $status == "$wanted" ]] ||
    fail "$signal to $*: status $status instead of $wanted: $(cat "$work/output")"
  nothing_left "$signal to $*"
}

# The plan ends after the turn that is under way, and reports what it has; the rest ends at once.
there=(--directory "$work/stores")
many_turns=(--workload rmw --keys 1000 --subjects "isolde-rr-opt,lmdb" --seconds 0.1
  --repetitions 1000)
stopped 130 INT ALL "${there[@]}" "${many_turns[@]}"
stopped 130 INT ONE "${many_turns[@]}"
stopped 143 TERM ONE "${there[@]}" "${many_turns[@]}"
stopped 130 INT ALL "${there[@]}" --held-snapshot --keys 10000000
stopped 130 INT ONE --held-snapshot --keys 10000000
echo "nothing was left"
