#!/usr/bin/env bash
# Every relative link of every Markdown file leads somewhere. Run by CTest: links_test.sh SOURCE
set -euo pipefail
cd "$1"

links=0 broken=0
while IFS= read -r file; do
  while IFS= read -r target; do
    links=$((links + 1))
    [[ -e $(dirname "$file")/$target ]] && continue
    echo "links_test: $file: no such file: $target" >&2
    broken=$((broken + 1))
  done < <(awk '/^ *```/ { code = !code } !code' "$file" | grep -oE '\]\([^)#: ]+' | cut -c3-)
done < <(find . -name '*.md' -not -path './build/*' -not -path './.git/*')
((links > 0)) || broken=1
echo "$links links, $broken broken"
((broken == 0))
