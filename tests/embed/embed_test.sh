#!/usr/bin/env bash
# Installs klog::core into an empty folder, builds the project beside this file against it, and
# runs that.
set -euo pipefail
compiler=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$KLOG_BUILD_DIR" --component development --prefix "$work/prefix" >"$work/log"
# Nothing of the source tree may be needed: only the public headers are there.
(cd "$work/prefix" && find . -name '*.h') | sort >"$work/headers"
(cd "$KLOG_SOURCE_DIR/core" && find include/klog -name '*.h' -printf './%p\n') | sort |
    diff - "$work/headers"
cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log"
cmake --build "$work/build"
mkdir "$work/data"
"$work/build/embed" "$work/data"
