# Sourced by the tests that count instructions. Ends the script with 77 (skipped) where there is no
# valgrind. What is counted goes to $work, which is gone at the end.
# shellcheck shell=bash
command -v valgrind >/dev/null || {
  echo "skipped: ${0##*/}: no valgrind to count instructions with"
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# count_instructions FUNCTION PROGRAM [ARG...]: counts inside the function only, and keeps the counts
# at each end of a path; what the program prints goes to $work/paths.
count_instructions() {
  local function=$1
  shift
  valgrind --tool=callgrind --callgrind-out-file="$work/counts" --toggle-collect="$function" \
    --dump-before='isolde::bench::finish_path*' "$@" >"$work/paths" 2>"$work/valgrind" && return
  cat "$work/valgrind" >&2
  echo "${0##*/}: the program failed under valgrind" >&2
  exit 1
}

# total_of NUMBER: the instructions of a path, the first being 1; nothing if none were counted.
total_of() { sed -nE 's/^(summary|totals): ([0-9]+).*/\2/p' "$work/counts.$1" | head -n 1; }
