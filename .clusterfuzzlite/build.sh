#!/usr/bin/env bash
# Builds the fuzz targets into $OUT, each with its seeds and its dictionary, as OSS-Fuzz and ClusterFuzzLite want them. It runs
# without their containers as well; then no sanitizer is used, and any Rust from 1.88 and a C++ compiler will do.
#
#   OUT            folder for the targets; must be set
#   SRC            folder with this project's tree as $SRC/zdtm-detached [the tree that this script is in]
#   SANITIZER      address, or none; address needs a nightly Rust [none]
#   RUSTFLAGS, CFLAGS, CXXFLAGS    as they are, and what coverage needs besides
#   FUZZ_TARGETS   names of targets, for fewer than all; program_text alone is built without the harness, in half a minute
#   CARGO_PROFILE  release or dev [release]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tree=$here
[ -n "${SRC:-}" ] && [ -d "$SRC/zdtm-detached" ] && tree=$SRC/zdtm-detached
: "${OUT:?the folder for the targets; see the head of this script}"
cd "$tree"
mkdir -p "$OUT"

# What `cargo fuzz build` passes: counters and compared values for libFuzzer, and checks of arithmetic.
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions)
[ "${SANITIZER:-none}" = address ] && coverage+=(-Zsanitizer=address)
export RUSTFLAGS="${RUSTFLAGS:-} ${coverage[*]}"

# With a target named, build scripts and macros are built without these flags.
host=$(rustc -vV | sed -n 's/^host: //p')
profile=${CARGO_PROFILE:-release}
targets=${FUZZ_TARGETS:-$(ls fuzz/fuzz_targets | sed 's/\.rs$//')}
features=()
[ "$targets" = program_text ] && features=(--no-default-features)
# shellcheck disable=SC2046 # one --bin for each name
cargo build --locked --package fuzz --profile "$profile" --target "$host" "${features[@]}" \
  $(printf -- '--bin %s ' $targets)

folder=${CARGO_TARGET_DIR:-target}/$host/$([ "$profile" = dev ] && echo debug || echo "$profile")
for target in $targets; do
  case $target in
    program_text) dictionary=program seeds=(scenarios/catalogue fuzz/seeds/program_text) ;;
    model_and_kernel | criu) dictionary=program seeds=(scenarios/catalogue) ;;
    expectations) dictionary=$target seeds=(fuzz/seeds/expectations scenarios/expectations.toml) ;;
    *) dictionary=$target seeds=(fuzz/seeds/"$target") ;;
  esac
  cp "$folder/$target" "$OUT/"
  rm -f "$OUT/${target}_seed_corpus.zip"
  # Names that are the same in two folders are told apart by these.
  zip -q -r "$OUT/${target}_seed_corpus.zip" "${seeds[@]}"
  dictionary=fuzz/dictionaries/$dictionary.dict
  [ ! -f "$dictionary" ] || cp "$dictionary" "$OUT/$target.dict"
done
