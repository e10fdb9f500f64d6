#!/usr/bin/env bash
# Counts the instructions of the hot paths under callgrind, and fails if one needs more than its
# budget: instructions_test.sh PROGRAM BUDGETS. Exits with 77 (skipped) where there is no valgrind.
set -euo pipefail
program=$1 budgets=$2

command -v valgrind >/dev/null || {
  echo "no valgrind: the instructions were not counted"
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Collects inside the hot paths only, and writes a file of counts at the end of each.
valgrind --tool=callgrind --callgrind-out-file="$work/counts" \
  --toggle-collect='isolde::bench::hot_path_*' --dump-before='isolde::bench::finish_path*' \
  "$program" >"$work/paths" 2>"$work/valgrind" || {
  cat "$work/valgrind" >&2
  echo "instructions_test: the program failed under valgrind" >&2
  exit 1
}

over=0 number=0
printf '%-20s %12s %10s %10s\n' path instructions budget ''
while read -r line; do
  number=$((number + 1))
  path=${line% *} times=${line##* }
  total=$(sed -nE 's/^(summary|totals): ([0-9]+).*/\2/p' "$work/counts.$number" | head -n 1)
  budget=$(sed -nE "s/^${path//+/\\+}: ([0-9]+)$/\1/p" "$budgets")
  [[ -n $total && -n $budget ]] || {
    echo "instructions_test: $path has no count or no budget" >&2
    exit 1
  }
  each=$((total / times)) verdict=ok
  if ((each > budget)); then
    verdict='OVER BUDGET' over=1
  fi
  if ((each * 2 < budget)); then
    verdict='under half of its budget: lower the budget, or find out why nothing was counted' over=1
  fi
  printf '%-20s %12d %10d %s\n' "$path" "$each" "$budget" "$verdict"
done <"$work/paths"
((number > 0)) || over=1
exit "$over"
