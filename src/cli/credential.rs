//! `kithkin credential`, as it is typed.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Subcommand};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use kithkin_protocol::crypto::VerifyingKey;
use kithkin_protocol::emergency::ClinicalRole;
use kithkin_protocol::ids::ChainId;
use kithkin_protocol::units::Millis;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `kithkin credential`
#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// Signs, with an issuer's key, that a key is a clinician's; writes it into a file for the hospital
    Issue(Box<IssueArgs>),
    /// Says in words what stands in a credential
    Show {
        /// The credential
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Checks whether a credential counts, and says what was checked and what was not
    Verify(CredentialVerifyArgs),
}

/// Text under `kithkin credential --help`.
pub(super) const CREDENTIAL_HELP: &str = "An emergency request carries a credential: an issuer's word, say a chamber's of \
physicians, that the key which signs the request is a clinician's, with a role, at one hospital, until a day. It counts when the validators \
have accredited issuer and hospital (kithkin governance), from the moment it is signed, for at most 366 days. Single credentials are not revoked: issue \
them for short times; whoever's issuer is revoked has none. Until the first issuer is accredited hospitals vouch for their own clinicians.

A chamber vouches for a physician. It makes its key and hands out chamber/public.toml:
  kithkin keys new --role issuer --name 'Chamber of physicians' --out chamber
The validators accredit it, that is propose, sign and submit:
  kithkin governance propose --accredit-issuer chamber/public.toml ...
The chamber signs, and sends lee.toml to the hospital, which looks:
  kithkin credential issue --keys chamber --genesis genesis.toml --days 90 --out lee.toml \\
    --hospital mary/public.toml --clinician HEX --role physician
  kithkin credential verify lee.toml --genesis genesis.toml --node 127.0.0.1:4800

The issuer's key never leaves its machine; credentials are public.

Exit codes: 0 done, or everything that could be checked holds; 1 the credential does not count, or is not shown to, or what a node says \
does not follow from the genesis; 2 a file or the command line is wrong; 3 a file cannot be written; 4 no node answers.";

/// `kithkin credential issue`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("ledger").required(true).args(["genesis", "chain"]))]
#[command(group = ArgGroup::new("end").required(true).args(["until", "days"]))]
#[command(after_help = "Example:
  kithkin credential issue --keys chamber --genesis genesis.toml --until 2027-03-31 \\
    --hospital mary/public.toml --clinician HEX --role nurse --out lee.toml

Nothing is signed when the credential would not count for its time. That issuer and hospital are accredited is not looked up: kithkin \
credential verify does it.")]
pub struct IssueArgs {
    /// The folder of the issuer's keys (kithkin keys new --role issuer)
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The ledger, by its genesis file
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// The ledger, by its chain id (kithkin genesis show)
    #[arg(long, value_name = "HEX", value_parser = chain)]
    pub chain: Option<ChainId>,
    /// Where the clinician works, the only hospital whose requests may carry it: its public.toml, the folder, or its identifier
    #[arg(long, value_name = "HOSPITAL")]
    pub hospital: String,
    /// The clinician's public key, with which the requests are signed
    #[arg(long, value_name = "HEX", value_parser = super::verifying_key)]
    pub clinician: VerifyingKey,
    /// What the clinician is; kin see it
    #[arg(long, value_name = "ROLE", value_parser = roles())]
    pub role: ClinicalRole,
    /// The last moment, such as 2027-03-31T12:00:00Z, or the last day, in UTC, such as 2027-03-31
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Millis>,
    /// For so many days of 24 hours from now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub days: Option<u32>,
    /// The file to write; one that is there is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `kithkin credential verify`
#[derive(Debug, Args)]
#[command(
    after_help = "Without a node: that the issuer's key has signed it, for this ledger, and that its time, by this machine's \
clock, is not over. Who is accredited only a ledger can tell: --node has it proved from the genesis, which waits for a block or two. A node \
cannot lie about that, but it can conceal the newest blocks: of several nodes the newest proof counts, so one honest one is enough.

A credential counts in requests of the hospital that it names, signed with the clinician's key that it names."
)]
pub struct CredentialVerifyArgs {
    /// The credential
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The ledger's genesis file
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// The client door of a running node, once for each
    #[arg(long, value_name = "ADDRESS")]
    pub node: Vec<SocketAddr>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

fn chain(text: &str) -> Result<ChainId, String> {
    ChainId::from_hex(text).map_err(|error| error.to_string())
}

fn roles() -> impl TypedValueParser<Value = ClinicalRole> {
    let names = ClinicalRole::ALL.map(ClinicalRole::as_str);
    PossibleValuesParser::new(names).try_map(|text| role(&text))
}

fn role(text: &str) -> Result<ClinicalRole, String> {
    let mut all = ClinicalRole::ALL.into_iter();
    let role = all.find(|role| role.as_str() == text);
    role.ok_or_else(|| format!("'{text}' is no role"))
}

/// A moment, or the last one of a day in UTC.
fn moment(text: &str) -> Result<Millis, String> {
    let end_of_day = || {
        // A date with an hour and no zone is one too, to the library.
        let date: Date = Some(text).filter(|text| text.len() == 10)?.parse().ok()?;
        let day = date.at(23, 59, 59, 999_000_000).to_zoned(TimeZone::UTC);
        day.ok().map(|day| day.timestamp())
    };
    let at = text.parse::<Timestamp>().ok().or_else(end_of_day);
    let ms = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    ms.map(Millis).ok_or_else(|| {
        format!("'{text}' is no time such as 2027-03-31T12:00:00Z, and no day such as 2027-03-31")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_days_are_read_and_anything_else_is_explained() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Millis(1_000)));
        assert_eq!(moment("1970-01-01T02:00:01+02:00"), Ok(Millis(1_000)));
        assert_eq!(moment("1970-01-01"), Ok(Millis(86_399_999)));
        for text in [
            "",
            "tomorrow",
            "2027-02-30",
            "1969-12-31",
            // Whose noon?
            "2027-03-31T12:00:00",
            "9999999-01-01",
        ] {
            let error = moment(text).unwrap_err();
            assert!(error.contains("no day such as"), "{text}: {error}");
        }
    }

    #[test]
    fn every_role_is_read_by_its_name() {
        for one in ClinicalRole::ALL {
            assert_eq!(role(one.as_str()), Ok(one));
        }
        assert!(role("Physician").is_err());
    }
}
