#!/usr/bin/env bash
# Each header that a build has read belongs to the project, to its compiler, or to a Debian package
# that ./dev installs for such a build, or that one of those depends on. Run by CTest:
#   headers_test.sh DEV BUILD
# A machine has more packages than it was asked for. On a fresh one a header of theirs is missing.
set -euo pipefail
dev=$1 build=$2

if [[ ! -f $build/build.ninja ]] || ! command -v dpkg-query >/dev/null; then
  echo "skipped: packaging.headers: it takes Ninja, and a Debian system"
  exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The packages that ./dev installs, and for which folder's files. What the demo builds may need no
# more than what the demo installs. (The tests' main programs, and examples, link all of it.)
lists() (
  # shellcheck source=dev
  source "$dev"
  printf '%s\n' "${build_packages[@]/#/all }"
  printf '%s\n' "${bench_packages[@]/#/bench }" "${engine_packages[@]/#/bench }"
  printf '%s\n' "${test_packages[@]/#/tests }" "${engine_packages[@]/#/tests }"
)
lists >"$scratch/lists"
# "FOLDER HEADER", once each: the folder of the object that read it. Relative paths are the project's.
ninja -C "$build" -t deps | awk '
  /^[^ ]/ { folder = $1; sub(/\/.*/, "", folder) }
  /^    \// { header = substr($0, 5); if (!((folder, header) in seen)) print folder "\t" header
    seen[folder, header] = 1 }' | grep -vF -e "	$(dirname "$dev")/" -e "	$build/" >"$scratch/read" || true
[[ -s $scratch/read ]] || {
  echo "headers_test: the build has read no header" >&2
  exit 1
}
cut -f2 "$scratch/read" | sort -u | tr '\n' '\0' | xargs -0 dpkg-query --search 2>/dev/null \
  >"$scratch/owners" || true
dpkg-query -W -f='${Package}\t${Provides}\t${Pre-Depends}, ${Depends}\n' >"$scratch/installed"

awk -F '\t' '
  function bare(name) { sub(/^ */, "", name); sub(/[ :(].*/, "", name); return name }
  # Of alternatives the first, as apt takes it, if it is there.
  function follow(list, package,   wanted, i) {
    split(needs[package], wanted, ",")
    for (i in wanted) {
      split(wanted[i], alternative, "|")
      for (j = 1; j in alternative; ++j) {
        if (!((name = bare(alternative[j])) in providers)) continue
        split(providers[name], those, " ")
        for (k in those) if (!((list, those[k]) in reached)) {
          reached[list, those[k]] = 1
          queue[++last] = those[k]
        }
        break
      }
    }
  }
  function reach(list, package) {
    if ((list, package) in reached) return
    reached[list, package] = 1
    first = last = 1
    queue[1] = package
    for (; first <= last; ++first) follow(list, queue[first])
  }
  function may(folder, package) {
    return ("all", package) in reached || (folder, package) in reached
  }

  FILENAME == ARGV[1] {
    providers[$1] = providers[$1] " " $1
    needs[$1] = needs[$1] "," $3
    split($2, provided, ",")
    for (i in provided) if ((name = bare(provided[i])) != "" && name != $1)
      providers[name] = providers[name] " " $1
    next
  }
  FILENAME == ARGV[2] {
    split($0, words, " ")
    if (words[1] != "bench" && !(words[2] in needs)) absent[words[1]] = absent[words[1]] " " words[2]
    reach(words[1], words[2])
    next
  }
  FILENAME == ARGV[3] {
    split($0, parts, ": ")
    owner[parts[2]] = parts[1]
    next
  }
  $2 ~ /^\/usr\/lib\/(gcc|llvm-[0-9]+\/lib\/clang)\// { next }
  {
    ++count
    ok = 0
    split(owner[$2], packages, ", ")
    for (i in packages) if (may($1, bare(packages[i]))) ok = 1
    if (ok) next
    what = $1 "/ reads headers of " (owner[$2] == "" ? "no Debian package" : owner[$2])
    if (!others[what]++) example[what] = $2
    bad = 1
  }
  END {
    for (what in others)
      print "headers_test: " what ", which ./dev does not install for it: " example[what] \
        (others[what] == 1 ? "" : " and " others[what] - 1 " more")
    for (list in absent) print "headers_test: not installed:" absent[list]
    print count + 0 " headers of Debian packages"
    exit bad || count == 0
  }
' "$scratch/installed" "$scratch/lists" "$scratch/owners" "$scratch/read"
