#!/usr/bin/env bash
# The whole plan on next to no data, and what it writes; and README.md's example:
# plan_test.sh PROGRAM DIRECTORY
set -euo pipefail
program=$1
readme=$(dirname "${BASH_SOURCE[0]}")/README.md
work=$(mktemp -d "$2/plan_test.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
  echo "plan_test: $*" >&2
  exit 1
}

mkdir "$work/out" "$work/stores"
printf '# Results\n\n<!-- results -->\nold\n<!-- end of results -->\nafter\n' >"$work/results.md"
"$program" --quick --keys 200 --seconds 0.002 --sustained-seconds 0.01 --repetitions 1 --seed 5 \
  --directory "$work/stores" --output "$work/out" --results-file "$work/results.md" \
  >"$work/text" 2>"$work/progress" || fail "it failed:
$(tail -n 20 "$work/progress" "$work/text")"

[[ -z $(ls -A "$work/stores") ]] || fail "it left stores behind"
grep -q 'about .* left\]' "$work/progress" || fail "it told no remaining time"
sections=$("$program" --list | sed -n 's/^sections: //p')
for section in $sections; do
  [[ $section == growth-keys ]] || grep -q "^$section," "$work/out/report.csv" ||
    fail "report.csv has no section $section"
  grep -q "\"id\":\"$section\"" "$work/out/report.json" || [[ $section == growth-keys ]] ||
    fail "report.json has no section $section"
done
# Each line of the table has as many fields as its head: no field but the quoted ones holds a comma.
awk '{ gsub(/"[^"]*"/, "q"); n = split($0, fields, ",") } NR == 1 { head = n }
  n != head { print "plan_test: line " NR " has " n " fields, not " head > "/dev/stderr"; bad = 1 }
  END { exit bad }' "$work/out/report.csv"
grep -q '<svg' "$work/out/report.html" || fail "report.html has no plots"
if grep -qE '(src|href)=' "$work/out/report.html"; then fail "report.html refers to something else"; fi
grep -q '^### The targets' "$work/results.md" || fail "the results were not replaced"
grep -q '^after$' "$work/results.md" || fail "more than the results was replaced"
if grep -q '^old$' "$work/results.md"; then fail "the old results are still there"; fi
echo "$(wc -l <"$work/out/report.csv") lines of figures"

# The example as it stands there, but for its length and where its stores go.
example=$(awk '/^```/ { inside = !inside; next } inside' "$readme" | sed -nE ':a; /\\$/ { N; s/\\\n//; ta }; s/^\$ //p')
example=${example/--keys 100000/--keys 300}
read -ra words <<<"${example/--seconds 1/--seconds 0.01}"
[[ ${words[0]} == build/release/bin/isolde_bench ]] || fail "bench/README.md has no example"
"$program" "${words[@]:1}" --repetitions 1 --directory "$work/stores" \
  >"$work/example" 2>&1 || fail "the example of bench/README.md failed:
$(cat "$work/example")"
[[ $(grep -cE '^  (isolde-|lmdb).*/s' "$work/example") == 9 ]] || fail "the example gave no figures"
