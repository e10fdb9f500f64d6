#!/usr/bin/env bash
# Counts the instructions of a commit inside the critical section under callgrind, and fails if they
# grow with the clients or the keys: growth_test.sh PROGRAM. Exits with 77 (skipped) where there is no
# valgrind.
set -euo pipefail
program=$1
most_percent=125  # of the fewest

# shellcheck source=bench/callgrind.sh
source "$(dirname "${BASH_SOURCE[0]}")/callgrind.sh"
count_instructions 'isolde::mvcc::CommitPipeline::commit*' "$program" growth

number=0 fewest=0 most=0
while read -r what times; do
  number=$((number + 1))
  [[ $what != between ]] || continue
  total=$(total_of "$number")
  if ((${total:-0} < 100 * times)); then
    echo "growth_test: nothing was counted for $what" >&2
    exit 1
  fi
  each=$((total / times))
  printf '%-12s %6d instructions in the critical section\n' "$what" "$each"
  ((fewest != 0 && fewest <= each)) || fewest=$each
  ((most >= each)) || most=$each
done <"$work/paths"
((number > 8)) || {
  echo "growth_test: only $number dumps" >&2
  exit 1
}
((most * 100 <= fewest * most_percent)) || {
  echo "growth_test: a commit needs $most in one place and $fewest in another" >&2
  exit 1
}
