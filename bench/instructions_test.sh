#!/usr/bin/env bash
# Counts the instructions of the hot paths under callgrind, and fails if one needs more than its
# budget: instructions_test.sh PROGRAM BUDGETS. Exits with 77 (skipped) where there is no valgrind.
set -euo pipefail
program=$1 budgets=$2

# shellcheck source=bench/callgrind.sh
source "$(dirname "${BASH_SOURCE[0]}")/callgrind.sh"
count_instructions 'isolde::bench::hot_path_*' "$program"

over=0 number=0
printf '%-20s %12s %10s %10s\n' path instructions budget ''
while read -r line; do
  number=$((number + 1))
  path=${line% *} times=${line##* }
  total=$(total_of "$number")
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
