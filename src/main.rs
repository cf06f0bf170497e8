//! The `kithkin` program: parses the command line and runs one command. Everything else is in the library.

use clap::Parser as _;
use kithkin::cli::Cli;
use kithkin::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
