#!/usr/bin/env bash
# What a build needs beside this repository. Called by the Makefile; silent and offline when nothing is missing.
#
#   setup.sh build   a C++ compiler, Rust, libclang, and for a first build a compiler cache
#   setup.sh check   rustfmt, clippy and cargo-deny
#   setup.sh audit   cargo-deny
#   setup.sh built   prints the RocksDB libraries that are already compiled
#
# Debian packages are installed as root; anybody else is told the one command that does it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
stop() {
	say "$*"
	exit 1
}

has_libclang() {
	if [ -n "${LIBCLANG_PATH:-}" ]; then
		[ -f "$LIBCLANG_PATH" ] || compgen -G "$LIBCLANG_PATH/libclang.so*" >/dev/null ||
			compgen -G "$LIBCLANG_PATH/libclang-[0-9]*.so*" >/dev/null ||
			compgen -G "$LIBCLANG_PATH/libclang.dylib" >/dev/null
		return
	fi
	compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null ||
		compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' >/dev/null ||
		PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -E '/libclang(-[0-9.]+)?\.so' >/dev/null
}

# Debian ships the library (libclang1-*) without the compiler's own headers, such as stddef.h; the bindings need both.
has_clang_headers() {
	[ -n "${LIBCLANG_PATH:-}" ] || ! command -v apt-get >/dev/null ||
		compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
		compgen -G '/usr/lib/clang/*/include/stddef.h' >/dev/null
}

compiled_rocksdb() {
	compgen -G "${CARGO_TARGET_DIR:-target}/debug/build/librocksdb-sys-*/out/librocksdb.a" || true
}

install_packages() {
	DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2 || say "apt-get update failed; trying with the lists at hand"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

check_rust() {
	command -v cargo >/dev/null && command -v rustc >/dev/null ||
		stop "Rust is missing. Install it with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
	local have need
	have=$(rustc --version | cut -d ' ' -f 2)
	need=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
	[ "$(printf '%s\n' "$need" "${have%%-*}" | sort -V | head -n 1)" = "$need" ] ||
		stop "Rust $have is too old, $need is needed. Update it with: rustup update stable"
}

setup_build() {
	local missing=() cache=()
	[ -z "${LIBCLANG_PATH:-}" ] || has_libclang ||
		stop "LIBCLANG_PATH=$LIBCLANG_PATH holds no libclang. Unset it to use the system's, or correct it."
	# The packages bring `c++` and `cc`; a compiler named in CXX or CC is the caller's own affair.
	if [ -z "${CXX:-}" ] && ! command -v c++ >/dev/null; then missing+=(g++); fi
	if [ -z "${CC:-}" ] && ! command -v cc >/dev/null; then missing+=(gcc libc6-dev); fi
	if ! has_libclang || ! has_clang_headers; then missing+=(libclang-dev); fi
	# Useful only while RocksDB is still to be compiled, and never required.
	if [ -z "$(compiled_rocksdb)" ] && ! command -v ccache >/dev/null; then cache+=(ccache); fi

	if [ ${#missing[@]} -gt 0 ]; then
		command -v apt-get >/dev/null ||
			stop "Missing: ${missing[*]} (names of Debian packages). Install them with this system's package manager."
		[ "$(id -u)" -eq 0 ] ||
			stop "Missing: ${missing[*]}. Install with: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]} ${cache[*]}"
		say "installing ${missing[*]} ${cache[*]}"
		install_packages "${missing[@]}" "${cache[@]}" ||
			stop "The installation failed (see above). By hand: apt-get update && apt-get install -y ${missing[*]}"
		has_libclang || stop "libclang was installed, but is not where it is looked for. Set LIBCLANG_PATH to its folder."
	elif [ ${#cache[@]} -gt 0 ] && command -v apt-get >/dev/null; then
		if [ "$(id -u)" -eq 0 ]; then
			say "installing ccache"
			install_packages ccache || say "ccache could not be installed; going on without"
		else
			say "A later rebuild of RocksDB is 15 times faster with a compiler cache: sudo apt-get install -y ccache"
		fi
	fi

	check_rust
	if [ -z "$(compiled_rocksdb)" ]; then
		say "First build: RocksDB is compiled from source. On 2 cores this takes about 20 to 25 minutes in all"
		say "(a few minutes where a compiler cache knows it). Later builds take seconds."
	fi
}

setup_deny() {
	if ! cargo deny --version >/dev/null 2>&1; then
		say "installing cargo-deny $CARGO_DENY_VERSION (about 4 minutes on 2 cores)"
		# In a target folder of its own, removed afterwards: the workspace's stays free of it.
		env -u CARGO_TARGET_DIR cargo install --quiet --locked "cargo-deny@$CARGO_DENY_VERSION" </dev/null ||
			stop "cargo-deny could not be installed. By hand: cargo install --locked cargo-deny@$CARGO_DENY_VERSION"
	fi
}

setup_check() {
	local components=()
	cargo fmt --version >/dev/null 2>&1 || components+=(rustfmt)
	cargo clippy --version >/dev/null 2>&1 || components+=(clippy)
	if [ ${#components[@]} -gt 0 ]; then
		command -v rustup >/dev/null || stop "Missing: ${components[*]}. They come with the Rust toolchain; install them from where it came."
		say "installing ${components[*]}"
		rustup component add "${components[@]}" </dev/null ||
			stop "The installation failed (see above). By hand: rustup component add ${components[*]}"
	fi
	setup_deny
}

case "${1:-build}" in
build) setup_build ;;
check) setup_check ;;
audit) check_rust && setup_deny ;;
built) compiled_rocksdb ;;
*) stop "unknown argument: $1 (known: build, check, audit, built)" ;;
esac
