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
      print FILENAME, FNR, $1 }' {} +
}

check() {
  find engine mvcc shell bench tests -name '*.h' -type f | sort >"$work/headers"
  includes >"$work/includes"
  awk -f "$here/arrows.awk" "$work/headers" "$here/arrows.txt" "$work/includes"
}

# plant FOLDER TARGET MESSAGE: a file in the folder that includes the target, or some header of it if
# it is a folder, is complained of.
plant() {
  local file=$1/planted.h target=$2
  if [[ -d $target ]]; then
    target=$(find "$target" -maxdepth 1 -name '*.h' | sort | head -n 1)
    target=\"${target#shell/}\"
  fi
  printf '#include %s\n' "$target" >"$file"
  if check >"$work/said" 2>&1 || ! grep -qF "$3" "$work/said"; then
    echo "arrows_test: $file may include $target, or is not told '$3':" >&2
    cat "$work/said" >&2
    return 1
  fi
  rm "$file"
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
plant engine/base engine/log 'engine/base may not include engine/log'
plant engine/log engine/base 'engine/log may not include engine/base'
plant engine mvcc 'engine may not include mvcc'
plant engine/include/isolde mvcc/include/isolde 'engine/include may not include mvcc/include'
plant mvcc shell/lab/text 'mvcc may not include shell/lab/text'
plant shell/lab/text shell/lab/script 'shell/lab/text may not include shell/lab/script'
plant shell/lab/play shell/lab/explore 'shell/lab/play may not include shell/lab/explore'
plant shell/lab/play mvcc 'shell/lab/play may not include mvcc'
plant shell mvcc 'shell may not include mvcc'
plant shell tests/support 'shell may not include tests'
plant shell/lab/check '<lmdb.h>' 'shell/lab/check may not include lmdb.h'
echo '#include "lab/text/planted.h"' >shell/lab/text/circle.h
plant shell/lab/text '"lab/text/circle.h"' 'in a circle: shell/lab/text/planted includes shell/lab/text/circle'
