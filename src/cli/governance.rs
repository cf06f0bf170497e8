//! `kithkin governance`, as it is typed.

use clap::{Args, Subcommand};
use kithkin_protocol::crypto::VerifyingKey;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::ledger::ProtocolVersion;
use kithkin_protocol::units::Height;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `kithkin governance`
#[derive(Debug, Subcommand)]
pub enum GovernanceCommand {
    /// Writes an amendment into a file, for the validators to sign
    Propose(Box<ProposeArgs>),
    /// Signs an amendment with a validator's keys, into a file of its own; says what is signed
    Sign(SignArgs),
    /// Puts the signatures of several files together; says how many are missing
    Combine(CombineArgs),
    /// Hands an amendment that enough have signed to a node, and waits until it is final
    Submit(SubmitArgs),
    /// Says in words what an amendment changes and who has signed; without a file, who the validators are
    Show(ShowArgs),
}

/// Text under `kithkin governance --help`.
pub(super) const GOVERNANCE_HELP: &str = "The validators decide about themselves, and about who is accredited: an amendment \
counts when a quorum of them has signed it. Its changes of validators are in force two heights after the block that holds it. At \
most a third of the validators, less one, can change at once; below four one at a time, and all must sign.

Accreditations and revocations are in force at once. With a hospital's revocation its live cases end; with an issuer's those that \
kin have not granted yet. A hospital's or an issuer's key that was revoked never comes back. Until the first issuer is accredited, \
hospitals vouch for their own clinicians; from then on issuers alone do.

A fifth validator joins four:
  newcomer     kithkin keys new --out keys             sends keys/public.toml; starts its node with validator = 4
  the others   name it under [observers] and [peers] in node.toml, then SIGHUP: it follows
  somebody     kithkin governance propose --node 127.0.0.1:4800 --admit public.toml --out amendment.toml
  each of 3    kithkin governance sign amendment.toml --keys keys --node 127.0.0.1:4800 --out signed-N.toml
  somebody     kithkin governance combine signed-*.toml --out whole.toml
  a validator  kithkin governance submit whole.toml --keys keys --node 127.0.0.1:4800

With --genesis genesis.toml beside --node, what the node says is proved; without, it is believed: ask your own.

Keys never leave the machine of their validator; the files are public. An amendment counts once, as the next one after all that \
were adopted before: when another was faster, propose it anew.

Exit codes: 0 done; 1 the node does not take it, the ledger has refused it, or what the node says does not follow from the genesis; 2 a file or the command line is wrong, or the ledger \
would refuse it; 4 the node cannot be reached or does not answer.";

/// The state that an amendment is compared with.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// The client door of a running node. Its word counts when there is no --genesis: ask your own
    #[arg(long, value_name = "ADDRESS")]
    pub node: Option<SocketAddr>,
    /// The genesis file: what the node says is proved from it. Without --node, the state before the first amendment
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
}

/// `kithkin governance propose`
#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// The state to start from.
    #[command(flatten)]
    pub state: StateArgs,
    /// The file to write; one that is there is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// A new validator: its file public.toml or the folder. Once for each; they get the next free numbers. A hospital that runs
    /// it follows after =: its public.toml
    #[arg(long, value_name = "FILE[=HOSPITAL]")]
    pub admit: Vec<String>,
    /// A validator that is to vote no more, by number
    #[arg(long, value_name = "N", value_parser = number)]
    pub remove: Vec<ValidatorId>,
    /// A validator that goes on with other keys: its number and its new public.toml. Its hospital stays unless one follows
    #[arg(long, value_name = "N=FILE[=HOSPITAL]", value_parser = rekey)]
    pub rekey: Vec<(ValidatorId, String)>,
    /// A validator that was excluded for good and may be master again
    #[arg(long, value_name = "N", value_parser = number)]
    pub pardon: Vec<ValidatorId>,
    /// A hospital that is to be accredited: its public.toml or the folder
    #[arg(long, value_name = "FILE")]
    pub accredit_hospital: Vec<PathBuf>,
    /// A hospital that is to be accredited no more: its public.toml, the folder, or its identifier. Its live cases end. If it runs
    /// validators, --remove or --rekey them in the same amendment
    #[arg(long, value_name = "HOSPITAL")]
    pub revoke_hospital: Vec<String>,
    /// An issuer of clinicians' credentials that is to be accredited: its public.toml or the folder, or its public key and its name
    #[arg(long, value_name = "FILE|HEX=NAME", value_parser = issuer)]
    pub accredit_issuer: Vec<IssuerArg>,
    /// An issuer that is to be accredited no more, by its public key
    #[arg(long, value_name = "HEX", value_parser = super::verifying_key)]
    pub revoke_issuer: Vec<VerifyingKey>,
    /// A reviewer that is to be accredited: its public key, and after = the hospital where it works and so judges nothing
    #[arg(long, value_name = "HEX[=HOSPITAL]", value_parser = reviewer)]
    pub accredit_reviewer: Vec<(VerifyingKey, Option<String>)>,
    /// A reviewer that is to be accredited no more, by its public key
    #[arg(long, value_name = "HEX", value_parser = super::verifying_key)]
    pub revoke_reviewer: Vec<VerifyingKey>,
    /// From this height on the ledger follows the rules of this version; programs that do not know them stop there
    #[arg(long, value_name = "VERSION@HEIGHT", value_parser = upgrade)]
    pub upgrade: Option<(ProtocolVersion, Height)>,
    /// How long it may be adopted
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    pub valid_for: Duration,
}

/// `kithkin governance sign`
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The amendment
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The folder of the validator's keys
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The file to write: the amendment with this signature
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The state to compare it with.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `kithkin governance combine`
#[derive(Debug, Args)]
pub struct CombineArgs {
    /// Copies of one amendment, each with some signatures
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `kithkin governance submit`
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The amendment, with the signatures of a quorum
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The keys of the validator that hands it in; any of the present ones
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The client door of a running node
    #[arg(long, value_name = "ADDRESS")]
    pub node: SocketAddr,
    /// The genesis file: what the node says, and that the amendment is final, is proved from it
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// How long to wait until it is final
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub within: Duration,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `kithkin governance show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The amendment; when left out, the validators themselves
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The state to compare it with, or to show.
    #[command(flatten)]
    pub state: StateArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

fn number(text: &str) -> Result<ValidatorId, String> {
    let digits = text.strip_prefix('v').unwrap_or(text);
    let number = digits.parse().map(ValidatorId);
    number.map_err(|_| format!("'{text}' is no number of a validator, such as 3 or v3"))
}

fn rekey(text: &str) -> Result<(ValidatorId, String), String> {
    let (id, keys) = text
        .split_once('=')
        .ok_or("write N=FILE: the number of the validator and its new public.toml")?;
    Ok((number(id)?, keys.to_owned()))
}

/// An issuer, as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerArg {
    /// By its public key and its name.
    Named(VerifyingKey, String),
    /// By its public parts, as `kithkin keys new` writes them, or their folder.
    File(PathBuf),
}

fn issuer(text: &str) -> Result<IssuerArg, String> {
    let path = PathBuf::from(text);
    if path.exists() {
        return Ok(IssuerArg::File(path));
    }
    let (key, name) = text
        .split_once('=')
        .ok_or("there is no such file; write FILE, the issuer's public.toml, or HEX=NAME: its public key and its name")?;
    let key = super::verifying_key(key)?;
    Ok(IssuerArg::Named(key, name.to_owned()))
}

/// A reviewer's key, and after `=` where the reviewer works.
pub(super) fn reviewer(text: &str) -> Result<(VerifyingKey, Option<String>), String> {
    let (key, hospital) = match text.split_once('=') {
        Some((key, hospital)) => (key, Some(hospital.to_owned())),
        None => (text, None),
    };
    Ok((super::verifying_key(key)?, hospital))
}

fn upgrade(text: &str) -> Result<(ProtocolVersion, Height), String> {
    let parts = text.split_once('@').and_then(|(version, height)| {
        let version = ProtocolVersion(version.parse().ok()?);
        Some((version, Height(height.parse().ok()?)))
    });
    parts.ok_or_else(|| format!("'{text}' is not VERSION@HEIGHT, such as 2@500000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keys_and_upgrades_are_read_and_anything_else_is_explained() {
        assert_eq!(number("v3"), number("3"));
        assert_eq!(
            rekey("2=keys=hospital"),
            Ok((ValidatorId(2), "keys=hospital".to_owned()))
        );
        assert_eq!(upgrade("2@500"), Ok((ProtocolVersion(2), Height(500))));
        for text in ["", "v", "-1", "70000"] {
            assert!(number(text).unwrap_err().contains("no number"));
        }
        assert!(rekey("2").unwrap_err().contains("N=FILE"));
        let (key, hex) = (VerifyingKey([7; 32]), "07".repeat(32));
        let named = issuer(&format!("{hex}=North = South"));
        let expected = IssuerArg::Named(key, "North = South".to_owned());
        assert_eq!(named, Ok(expected));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(issuer(file), Ok(IssuerArg::File(file.into())));
        assert_eq!(reviewer(&hex), Ok((key, None)));
        let works = reviewer(&format!("{hex}=keys/mary"));
        assert_eq!(works, Ok((key, Some("keys/mary".to_owned()))));
        assert!(issuer(&hex).unwrap_err().contains("HEX=NAME"));
        assert!(issuer("07=x").is_err() && reviewer("=mary").is_err());
        for text in ["2", "2@", "@5", "a@5"] {
            assert!(upgrade(text).unwrap_err().contains("VERSION@HEIGHT"));
        }
    }
}
