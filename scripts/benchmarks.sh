#!/usr/bin/env bash
# Measures everything in docs/benchmarks.md and writes tables and plots to docs/benchmarks/, about an hour on a quiet
# machine with 2 cores. Each part can be run by itself:
#   scripts/benchmarks.sh [security] [rate] [saturation] [processes] [compare] [faults] [kernels] [opening] [size]
# `opening` needs neither the program nor RocksDB. BUNDLES="FILE.." names the FHIR bundles that `size` measures; a built-in
# patient when empty.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cargo=${CARGO:-cargo}
out=docs/benchmarks
parts=("$@")
[ "$#" -gt 0 ] || parts=(security rate saturation processes compare faults kernels opening size)
mkdir -p "$out"

kithkin=$CARGO_TARGET_DIR/release/kithkin
compare=$CARGO_TARGET_DIR/release/kithkin-bench
pair=(--contender credit-bft,pbft)

step() { printf '\n==> [%s] %s\n' "$(date +%T)" "$1"; }

# The program as it ships, once per run of this script; the comparison is a crate of its own.
ship() { "$cargo" build --release --quiet --bin kithkin; }
ring() { "$cargo" build --release --quiet --manifest-path bench/Cargo.toml; }

for part in "${parts[@]}"; do
  step "$part"
  case $part in
    security)
      ship
      "$kithkin" bench security --plot "$out" | tee "$out/security.md" ;;
    rate)
      ship
      "$kithkin" bench consensus --opaque --rate 1000,5000,10000,20000,30000,40000 \
        --seconds 4 --warm-up 1 --runs 3 --plot "$out" | tee "$out/rate.md" ;;
    saturation)
      ship
      {
        echo "Unsigned:"; echo
        "$kithkin" bench consensus --opaque --seconds 10 --runs 5
        echo; echo "Signed:"; echo
        "$kithkin" bench consensus --signed --seconds 10 --runs 5
      } | tee "$out/saturation.md" ;;
    processes)
      ship
      {
        echo "Unsigned:"; echo
        "$kithkin" bench consensus --processes --opaque --seconds 20 --runs 5
        echo; echo "Signed:"; echo
        "$kithkin" bench consensus --processes --signed --seconds 20 --runs 5
        echo; echo "Latency, signed:"; echo
        "$kithkin" bench consensus --processes --signed --rate 1000 --seconds 20 --runs 5
      } | tee "$out/processes.md" ;;
    compare)
      ring
      # The larger the cluster, the longer a block takes: what counts needs many of them.
      {
        "$compare" --fault none --validators 4,7,10,16 "${pair[@]}" --warm-up 2 --seconds 5 --runs 7 --plot "$out/healthy/small"
        echo
        "$compare" --fault none --validators 31,61,100 "${pair[@]}" --warm-up 4 --seconds 20 --runs 5 --plot "$out/healthy/large"
      } | tee "$out/compare.md" ;;
    faults)
      ring
      # Counted from the fault on, for about ten first timeouts.
      {
        "$compare" --fault silent --validators 4 "${pair[@]}" --warm-up 2 --seconds 3 --runs 9
        echo
        "$compare" --fault silent --validators 16 "${pair[@]}" --warm-up 2 --seconds 6 --runs 7
        echo
        "$compare" --fault silent --validators 40 "${pair[@]}" --warm-up 4 --seconds 14 --runs 5
        echo
        "$compare" --fault slow --validators 4,16 "${pair[@]}" --warm-up 2 --seconds 6 --runs 5
        echo
        "$compare" --fault slow --validators 40 "${pair[@]}" --warm-up 4 --seconds 14 --runs 5
      } | tee "$out/faults.md" ;;
    kernels)
      "$cargo" bench --quiet --manifest-path bench/Cargo.toml --bench kernels -- \
        --warm-up-time 0.5 --measurement-time 1.5 --noplot 2>/dev/null \
        | awk '/time:/ || /thrpt:/ || /^[a-z].*\/[0-9a-z]/' | tee "$out/kernels.txt" ;;
    opening)
      # Cargo runs a benchmark in its package's folder.
      "$cargo" bench --quiet -p kithkin-protocol --bench opening -- --json "$PWD/$out/opening.json" | tee "$out/opening.md"
      "$cargo" build --release --quiet --manifest-path bench/abe/Cargo.toml
      "$CARGO_TARGET_DIR/release/kithkin-bench-abe" | tee "$out/abe.md" ;;
    size)
      ship
      # shellcheck disable=SC2086 -- several files
      "$kithkin" bench size ${BUNDLES:-} | tee "$out/size.md"
      # shellcheck disable=SC2086
      "$kithkin" bench size ${BUNDLES:-} --json >"$out/size.json" ;;
    *) echo "no part '$part'" >&2; exit 2 ;;
  esac
done
