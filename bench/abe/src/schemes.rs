//! Two schemes of ciphertext-policy attribute-based encryption, by crate `rabe`, behind one face.
//!
//! BSW: Bethencourt, Sahai and Waters, IEEE S&P 2007. AC17: Agrawal and Chase, "FAME", CCS 2017. Both over the BN curve of
//! `rabe-bn`, both hybrid: a random element of the target group is sealed under the policy, and AES-256-GCM under its hash
//! carries the payload.

use anyhow::{Context as _, Result, anyhow, ensure};
use rabe::schemes::{ac17, bsw};
use rabe::utils::policy::pest::PolicyLanguage;

/// The schemes that are measured.
pub(crate) const SCHEMES: [Scheme; 2] = [Scheme::Bsw, Scheme::Ac17];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    Bsw,
    Ac17,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bsw => "BSW",
            Self::Ac17 => "AC17",
        }
    }
}

/// An authority with its keys, and a policy that wants all of so many attributes.
pub(crate) struct Authority {
    pub(crate) scheme: Scheme,
    pub(crate) attributes: Vec<String>,
    policy: String,
    keys: Keys,
}

#[expect(clippy::large_enum_variant, reason = "there are six of them")]
enum Keys {
    Bsw(bsw::CpAbePublicKey, bsw::CpAbeMasterKey),
    Ac17(ac17::Ac17PublicKey, ac17::Ac17MasterKey),
}

/// The key of somebody with attributes.
pub(crate) enum UserKey {
    Bsw(bsw::CpAbeSecretKey),
    Ac17(ac17::Ac17CpSecretKey),
}

/// A payload under a policy.
pub(crate) enum Ciphertext {
    Bsw(bsw::CpAbeCiphertext),
    Ac17(ac17::Ac17CpCiphertext),
}

impl Authority {
    /// Sets up the scheme for a policy of `count` attributes, all of which are needed.
    pub(crate) fn new(scheme: Scheme, count: usize) -> Self {
        let attributes: Vec<String> = (0..count).map(|n| format!("attribute{n}")).collect();
        // In pairs: AC17 takes a conjunction of two only.
        let quoted = attributes.iter().map(|a| format!("\"{a}\""));
        let policy = quoted.reduce(|all, next| format!("({all} and {next})"));
        let keys = match scheme {
            Scheme::Bsw => {
                let (public, master) = bsw::setup();
                Keys::Bsw(public, master)
            }
            Scheme::Ac17 => {
                let (public, master) = ac17::setup();
                Keys::Ac17(public, master)
            }
        };
        Self {
            scheme,
            attributes,
            policy: policy.unwrap_or_default(),
            keys,
        }
    }

    /// A key for the first `count` attributes.
    pub(crate) fn user_key(&self, count: usize) -> Result<UserKey> {
        let held: Vec<&str> = self
            .attributes
            .iter()
            .take(count)
            .map(String::as_str)
            .collect();
        match &self.keys {
            Keys::Bsw(public, master) => bsw::keygen(public, master, &held)
                .map(UserKey::Bsw)
                .context("BSW made no key"),
            Keys::Ac17(_, master) => ac17::cp_keygen(master, &held)
                .map(UserKey::Ac17)
                .map_err(|error| anyhow!("AC17 made no key: {error}")),
        }
    }

    /// Encrypts under the policy.
    pub(crate) fn encrypt(&self, plaintext: &[u8]) -> Result<Ciphertext> {
        let language = PolicyLanguage::HumanPolicy;
        let sealed = match &self.keys {
            Keys::Bsw(public, _) => {
                bsw::encrypt(public, &self.policy, language, plaintext).map(Ciphertext::Bsw)
            }
            Keys::Ac17(public, _) => {
                ac17::cp_encrypt(public, &self.policy, plaintext, language).map(Ciphertext::Ac17)
            }
        };
        sealed.map_err(|error| anyhow!("{} does not encrypt: {error}", self.scheme.name()))
    }

    /// That the policy means what it says: all attributes open, one fewer does not.
    pub(crate) fn check(&self, plaintext: &[u8]) -> Result<()> {
        let (name, all) = (self.scheme.name(), self.attributes.len());
        let ciphertext = self.encrypt(plaintext)?;
        let opened = decrypt(&self.user_key(all)?, &ciphertext)?;
        ensure!(opened == plaintext, "{name} gives another plaintext");
        let few = decrypt(&self.user_key(all - 1)?, &ciphertext);
        ensure!(
            few.is_err(),
            "{name} opens with {} of {all} attributes",
            all - 1
        );
        Ok(())
    }
}

/// Decrypts; fails when the attributes do not satisfy the policy, or key and ciphertext are of different schemes.
pub(crate) fn decrypt(key: &UserKey, ciphertext: &Ciphertext) -> Result<Vec<u8>> {
    match (key, ciphertext) {
        (UserKey::Bsw(key), Ciphertext::Bsw(sealed)) => {
            bsw::decrypt(key, sealed).map_err(|error| anyhow!("BSW: {error}"))
        }
        (UserKey::Ac17(key), Ciphertext::Ac17(sealed)) => {
            ac17::cp_decrypt(key, sealed).map_err(|error| anyhow!("AC17: {error}"))
        }
        (UserKey::Bsw(_), Ciphertext::Ac17(_)) | (UserKey::Ac17(_), Ciphertext::Bsw(_)) => {
            Err(anyhow!("key and ciphertext are of different schemes"))
        }
    }
}
