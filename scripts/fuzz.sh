#!/usr/bin/env bash
# fuzz.sh [target...]: runs the fuzz targets (all of them by default) one after the other, each for FUZZ_SECONDS (60).
#
# Stable Rust serves: coverage comes from LLVM's own pass, and safe code needs no address sanitizer. With `cargo fuzz`
# installed, `cargo fuzz run --sanitizer none TARGET` does the same for one target. Inputs that crash are left in
# fuzz/artifacts/TARGET; once fixed they belong into fuzz/regressions/TARGET, where a plain test runs them.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
triple=$(rustc -vV | sed -n 's/^host: //p')
built=${CARGO_TARGET_DIR:-target}/fuzz
flags=(-Cpasses=sancov-module --cfg=fuzzing -Ccodegen-units=1)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
	flags+=("-Cllvm-args=-sanitizer-coverage-$option")
done

# The seeds: frames that decode, from the fixtures; those of a node's own decoders are pinned bytes.
cargo run --quiet -p kithkin-protocol --features testing --example fuzz_seeds -- fuzz/corpus
mkdir -p fuzz/corpus/node_settings
cp -r fuzz/seeds/. fuzz/corpus
cp config/node.toml fuzz/corpus/node_settings/seed-example
RUSTFLAGS="${flags[*]}" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$built \
	cargo build --quiet --release --locked --target "$triple" --manifest-path fuzz/Cargo.toml

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	targets=()
	for file in fuzz/fuzz_targets/*.rs; do
		targets+=("$(basename "$file" .rs)")
	done
fi
failed=0
for target in "${targets[@]}"; do
	mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target" "$built/logs"
	log=$built/logs/$target.log
	if "$built/$triple/release/$target" "fuzz/corpus/$target" -artifact_prefix="fuzz/artifacts/$target/" \
		-max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1; then
		crashed="no crash"
	else
		crashed="FAILED, see $log"
		failed=1
	fi
	awk -v target="$target" -v crashed="$crashed" '
		/stat::number_of_executed_units/ { executions = $2 }
		/stat::peak_rss_mb/ { memory = $2 }
		END { printf "%-20s %12d executions, peak memory %d MiB, %s\n", target, executions, memory, crashed }' "$log"
done
exit $failed
