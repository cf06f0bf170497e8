//! `kithkin bench size`: the tables and the JSON of what a record takes on chain.

use crate::bench::size::{self, Report, Scheme, SchemeSize};
use crate::cli::SizeArgs;
use crate::commands::Failure;
use anyhow::Context as _;
use std::path::Path;

/// Measures and prints.
///
/// # Errors
/// [`Failure::Usage`] for a file that cannot be read or is no bundle.
pub(super) fn run(args: &SizeArgs) -> Result<(), Failure> {
    let mut bundles = Vec::new();
    for path in &args.bundles {
        let read =
            std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
        bundles.push((name(path), read.map_err(Failure::Usage)?));
    }
    if bundles.is_empty() {
        let demo = kithkin_fhir::fixture::demo_bundle().to_vec();
        bundles.push(("built-in patient".to_owned(), demo));
    }
    let report = size::measure(&bundles).map_err(Failure::Usage)?;
    if args.json {
        let text = serde_json::to_string(&report).map_err(|e| Failure::NotHeld(e.into()))?;
        println!("{text}");
    } else {
        print(&report);
    }
    Ok(())
}

fn name(path: &Path) -> String {
    let file = path.file_name().map(|name| name.to_string_lossy());
    file.map_or_else(|| path.display().to_string(), |name| name.into_owned())
}

/// Tables that Markdown shows as such.
fn print(report: &Report) {
    println!(
        "Bytes on chain, {} validators in each certificate, {} kin in each set of receipts.\n",
        report.validators, report.kin
    );
    println!(
        "| file | records | on chain | transactions | blocks | headers | certificates | receipts | transactions, bytes \
         | in all | a record | times |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for patient in &report.patients {
        rows(&patient.file, patient.records, &patient.schemes);
    }
    let records = report.patients.iter().map(|patient| patient.records).sum();
    if report.patients.len() > 1 {
        rows("all", records, &report.all);
    }
    for size in &report.all {
        if size.scheme != Scheme::BatchedApart {
            fields(size, records);
        }
    }
}

fn rows(file: &str, records: usize, sizes: &[SchemeSize]) {
    for size in sizes {
        let bytes = size.bytes;
        println!(
            "| {file} | {records} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.2} |",
            size.scheme.as_str(),
            size.transactions,
            size.blocks,
            bytes.headers,
            bytes.certificates,
            bytes.receipts,
            bytes.transactions,
            bytes.total,
            size.per_record,
            size.times
        );
    }
}

fn fields(size: &SchemeSize, records: usize) {
    println!(
        "\n**{}**: what the bytes are for, all files together\n",
        size.scheme.as_str()
    );
    println!("| field | bytes | a record |\n|---|---|---|");
    for field in &size.fields.0 {
        let each = field.bytes as f64 / records as f64;
        println!("| {} | {} | {each:.1} |", field.name, field.bytes);
    }
    println!("| in all | {} | {:.1} |", size.bytes.total, size.per_record);
}
