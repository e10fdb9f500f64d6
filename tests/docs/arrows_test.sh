#!/usr/bin/env bash
# What includes what, held against arrows.txt beside this script. Run by CTest:
#   arrows_test.sh SOURCE
# With "self-test" after it: in a copy of the tree, an arrow of each forbidden kind must be found.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$1"

# Each include of a file of the project, or of a header that arrows.txt names, as "FILE LINE WHAT".
includes() {
  find engine mvcc shell bench tests \( -name '*.h' -o -name '*.cc' \) -type f -exec \
    awk '/^[ \t]*#[ \t]*include[ \t]*["<]/ { sub(/^[ \t]*#[ \t]*include[ \t]*/, "")
      sub(/[">][^">]*$/, "&"); print FILENAME, FNR, $1 }' {} +
}

check() {
  find engine mvcc shell bench tests -name '*.h' -type f | sort >"$work/headers"
  includes >"$work/includes"
  awk -f /dev/fd/3 "$work/headers" "$here/arrows.txt" "$work/includes" 3<<'END'
function room_of(file) {  # the longest that has a line
  while (file != "" && !(file in is_room)) {
    if (!sub(/\.[^.\/]*$/, "", file) && !sub(/\/[^\/]*$/, "", file)) return ""
  }
  return file
}
function allow(room, other,   further) {
  may[room, other] = 1
  for (further in is_room) if ((other, further) in may) may[room, further] = 1
}
function complain(text) { print "arrows_test: " text > "/dev/stderr"; bad = 1 }
function header_of(file, name,   folder, i) {  # the file that an include means, "" if not of the project
  folder = file; sub(/\/[^\/]*$/, "/", folder)
  split("|engine/include/|mvcc/include/|shell/|" folder, places, "|")
  for (i = 1; i in places; ++i) if ((places[i] name) in is_header) return places[i] name
  return ""
}

FILENAME == ARGV[1] { is_header[$0] = 1; next }
FILENAME == ARGV[2] {
  if ($0 ~ /^ *(#|$)/) next
  if ($1 == "circles") { for (i = 2; i <= NF; ++i) may_circle[$i] = 1; next }
  if ($1 ~ /^</) { outside[$1] = 1; for (i = 2; i <= NF; ++i) may_outside[$1, $i] = 1; next }
  for (i = 2; i <= NF; ++i) {
    if (!($i in is_room)) complain("arrows.txt: " $i " is not above " $1)
    allow($1, $i)
  }
  is_room[$1] = 1
  next
}
{
  ++seen
  from = room_of($1)
  if (from == "") { complain($1 " is in no room"); next }
  name = substr($3, 2, length($3) - 2)
  if (("<" name ">") in outside && !(("<" name ">", from) in may_outside)) {
    complain($1 ":" $2 ": " from " may not include " name)
  }
  header = header_of($1, name)
  if (header == "") {
    if ($3 ~ /^"/) complain($1 ":" $2 ": " name " is no file of the project")
    next
  }
  to = room_of(header)
  if (from != to) {
    ++arrows
    if (!((from, to) in may)) complain($1 ":" $2 ": " from " may not include " to " (" name ")")
    next
  }
  one = $1; sub(/\.[^.]*$/, "", one)
  other = header; sub(/\.[^.]*$/, "", other)
  if (one != other && !(from in may_circle)) edges[one, other] = 1
}
END {
  # What is left when pairs that nothing leads to, or that lead nowhere, are taken away, goes round.
  do {
    removed = 0
    split("", leads); split("", led_to)
    for (edge in edges) { split(edge, ends, SUBSEP); leads[ends[1]] = led_to[ends[2]] = 1 }
    for (edge in edges) {
      split(edge, ends, SUBSEP)
      if (!(ends[1] in led_to) || !(ends[2] in leads)) { delete edges[edge]; removed = 1 }
    }
  } while (removed)
  for (edge in edges) { split(edge, ends, SUBSEP); complain("in a circle: " ends[1] " includes " ends[2]) }
  if (seen == 0 || arrows == 0) complain("nothing was looked at")
  print seen " includes, " arrows " between rooms"
  exit bad
}
END
}

# plant FILE INCLUDE MESSAGE: with the include, the file is complained of.
plant() {
  local kept
  kept=$(<"$1")
  printf '#include %s\n%s\n' "$2" "$kept" >"$1"
  if check >"$work/said" 2>&1 || ! grep -qF "$3" "$work/said"; then
    echo "arrows_test: $1 may include $2, or is not told '$3':" >&2
    cat "$work/said" >&2
    return 1
  fi
  printf '%s\n' "$kept" >"$1"
  sed -n "s/^arrows_test: /found: /p" "$work/said"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ ${2-} != self-test ]]; then
  check
  exit
fi
mkdir "$work/tree"
cp -r engine mvcc shell bench tests "$work/tree"
cd "$work/tree"
check
plant engine/base/base.cc '"engine/log/commit_log.h"' 'engine/base may not include engine/log'
plant engine/mutex.h '"mvcc/version.h"' 'engine may not include mvcc'
plant engine/include/isolde/error.h '<isolde/isolde.h>' 'engine/include may not include mvcc/include'
plant shell/lab/text/text.h '"lab/script/script.h"' 'shell/lab/text may not include shell/lab/script'
plant shell/lab/play/player.cc '"mvcc/version.h"' 'shell/lab/play may not include mvcc'
plant shell/lab/check/graph.cc '<lmdb.h>' 'shell/lab/check may not include lmdb.h'
plant shell/lab/text/text.h '"lab/text/source.h"' 'in a circle: shell/lab/text/'
