#!/usr/bin/env bash
# The arrows between the crates, as docs/architecture.md draws them, and the promise that RocksDB is compiled once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0

# forbid CRATE PATTERN: CRATE's normal dependencies, on every platform and with every feature, match no name in PATTERN.
forbid() {
	local tree found
	tree=$(cargo tree --locked -p "$1" -e normal --all-features --target all --prefix none)
	found=$(awk 'NR > 1 { print $1 }' <<<"$tree" | grep -xE "$2" | sort -u | tr '\n' ' ' || true)
	if [ -n "$found" ]; then
		echo "layering: $1 must not depend on: $found" >&2
		echo "          See who brings it: cargo tree -p $1 -e normal -i NAME" >&2
		failed=1
	else
		echo "$1: no dependency on I/O, runtimes or a layer above"
	fi
}

runtimes='actix.*|tokio.*|async-std|smol|libp2p.*|rocksdb|librocksdb-sys|object_store|reqwest|hyper'
forbid kithkin-protocol "$runtimes|kithkin-fhir|kithkin-actors|kithkin"
forbid kithkin-fhir "$runtimes|kithkin-actors|kithkin"
forbid kithkin-actors 'kithkin|clap|indicatif|actix-web'

# RocksDB's bindings and all they are built from, with features, as the given selection of packages resolves them.
# Dependencies of tests can switch on features that the binary alone doesn't; then `demo` and `test` each compile a RocksDB.
rocksdb_with_features() {
	cargo tree --locked "$@" --prefix depth --no-dedupe -f ' {p} {f}' |
		awk '{ depth = $1 + 0 } on && depth <= top { past = 1 } !on && $2 == "librocksdb-sys" { on = 1; top = depth }
			on && !past { $1 = depth - top; print }'
}

binary=$(rocksdb_with_features -p kithkin -e normal,build)
if [ -z "$binary" ]; then
	echo "layering: the binary no longer uses librocksdb-sys; this check wants another name" >&2
	exit 1
fi

# same_rocksdb WHAT SELECTION...: WHAT builds the RocksDB that the binary does.
same_rocksdb() {
	local what=$1 difference
	shift
	if difference=$(diff <(echo "$binary") <(rocksdb_with_features "$@")); then
		echo "RocksDB: one build serves the binary and $what"
	else
		echo "layering: $what build RocksDB with other features or dependencies (>) than the binary (<), so it is compiled twice:" >&2
		echo "$difference" >&2
		echo "          See who asks for it, cargo tree --workspace -e features -i NAME, and give the binary the same feature." >&2
		failed=1
	fi
}

same_rocksdb "the tests" --workspace --all-features -e normal,build,dev
same_rocksdb "the measurements" --manifest-path bench/Cargo.toml -e normal,build

exit "$failed"
