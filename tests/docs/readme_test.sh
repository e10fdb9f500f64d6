#!/usr/bin/env bash
# Holds README.md to what it says. Run by CTest:
#   readme_test.sh SOURCE BUILD
# The blocks of C++ and CMake are those that the tests build, byte by byte. Each command of a console
# block is run, all in one new directory, in order; lines below it must be what it writes to its
# standard output ("..." stands for any lines).
set -euo pipefail

source=$1 build=$2
readme=$source/README.md

# Each of these installs packages or builds everything; .ci/run and other tests go the same way.
skipped=(
  './dev demo'
  './dev test'
  'cmake --preset release'
  'cmake --build build/release'
  'cmake --install build/release --prefix /usr/local'
)

fail() {
  echo "readme_test: $*" >&2
  exit 1
}

# The fenced blocks of a language, one after the other.
blocks() { awk -v fence="\`\`\`$1" '$0 == "```" { inside = 0 } inside; $0 == fence { inside = 1 }' "$readme"; }

diff <(blocks cpp) "$source/tests/docs/bank.cc" || fail "the C++ block is not tests/docs/bank.cc"
diff <(blocks cmake) "$source/tests/packaging/consumer/CMakeLists.txt" ||
  fail "the CMake block is not that of tests/packaging/consumer"
lines=$(blocks cpp | wc -l)
((lines <= 24)) || fail "the embedding example has grown to $lines lines"

is_skipped() {
  local known
  for known in "${skipped[@]}"; do
    [[ $1 == "$known" ]] && return 0
  done
  return 1
}

# Runs a command and compares what it prints with the lines expected below it, if there are any.
play() {
  local command=$1 expected=$2 output status=0 pattern
  is_skipped "$command" && return
  echo "\$ $command"
  output=$(bash -euo pipefail -c "$command") || status=$?
  ((status == 0)) || fail "exit code $status: $command"$'\n'"$output"
  [[ -n $expected ]] || return 0
  pattern=$(printf '%s' "$expected" | sed -e 's/[][*?\\]/\\&/g' -e 's/^\.\.\.$/*/')
  # shellcheck disable=SC2053  # the right side is a pattern
  [[ $output == $pattern ]] || fail "it printed:"$'\n'"$output"
}

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
export PATH=$build/bin:$PATH
# Through a link, as the words that $(pkg-config ...) gives can hold no spaces.
ln -s "$build/packaging/prefix" prefix
PKG_CONFIG_PATH=$directory/$(dirname "$(find prefix/ -name isolde.pc)")
export PKG_CONFIG_PATH
cp "$source/tests/docs/bank.cc" .

command="" expected="" played=0
while IFS= read -r line || [[ -n $line ]]; do
  if [[ $line == '$ '* ]]; then
    [[ -z $command ]] || play "$command" "$expected"
    command=${line#'$ '} expected="" played=$((played + 1))
  else
    expected+=${expected:+$'\n'}$line
  fi
done < <(blocks console)
[[ -z $command ]] || play "$command" "$expected"
((played > ${#skipped[@]})) || fail "README.md has no command to run"
for command in "${skipped[@]}"; do
  grep -qxF "\$ $command" "$readme" || fail "no longer in README.md, so not to be skipped: $command"
done
