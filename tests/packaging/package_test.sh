#!/usr/bin/env bash
# Installs a build and uses it from outside, as a stranger would. Run by CTest:
#   package_test.sh install      SOURCE BUILD
#   package_test.sh find_package SOURCE BUILD CXX [FLAGS]
#   package_test.sh pkg_config   SOURCE BUILD CXX [FLAGS]
# FLAGS: what the library was built with that its users must repeat (sanitizers).
set -euo pipefail

step=$1 source=$2 build=$3 cxx=${4-} flags=${5-}
work=$build/packaging
prefix=$work/prefix

fail() {
  echo "package_test: $*" >&2
  exit 1
}

# The consumer is README's example; it must run, twice, on the same database.
expect_it_runs() {
  local place=$work/$step/place answer
  rm -rf "$place"
  mkdir -p "$place"
  answer=$(cd "$place" && "$1" && "$1") || fail "$1 failed"
  [[ $answer == $'bob has 30\nbob has 60' ]] || fail "$1 answered: $answer"
}

case $step in
  install)
    rm -rf "$work"
    cmake --install "$build" --prefix "$work/elsewhere" >/dev/null
    # Moved after it was installed: nothing in it may remember where it was.
    mv "$work/elsewhere" "$prefix"
    # The source may be called /isolde, as much in there is: what would lead into it is looked for.
    paths=(-e "$work/elsewhere" -e "$build/")
    for folder in "$source"/*/; do paths+=(-e "$folder"); done
    ! grep -rIlF "${paths[@]}" "$prefix" || fail "these name the build's paths"
    diff <(cd "$prefix/include" && find . -type f | sort) \
      <({ cd "$source/mvcc/include" && find . -type f; cd "$source/engine/include" && find . -type f; } |
        sort) || fail "not just the public headers"
    ;;
  find_package)
    project=$work/find_package
    mkdir -p "$project"
    cp "$source/tests/packaging/consumer/CMakeLists.txt" "$source/tests/docs/bank.cc" "$project"
    cmake -G Ninja -S "$project" -B "$project/build" -DCMAKE_PREFIX_PATH="$prefix" \
      -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$flags" >/dev/null
    cmake --build "$project/build"
    expect_it_runs "$project/build/bank"
    ;;
  pkg_config)
    project=$work/pkg_config
    mkdir -p "$project"
    # Through a link, as the words that $(pkg-config ...) gives can hold no spaces and quotes.
    plain=$(mktemp -d)
    trap 'rm -rf "$plain"' EXIT
    ln -s "$prefix" "$plain/prefix"
    PKG_CONFIG_PATH=$(dirname "$(find "$plain/prefix/" -name isolde.pc)")
    export PKG_CONFIG_PATH
    for static in "" --static; do
      # Word splitting is what the flags are for.
      # shellcheck disable=SC2046,SC2086
      "$cxx" -std=c++20 $flags "$source/tests/docs/bank.cc" \
        $(pkg-config $static --cflags --libs isolde) -o "$project/bank$static"
      expect_it_runs "$project/bank$static"
    done
    ;;
  *) fail "unknown step $step" ;;
esac
