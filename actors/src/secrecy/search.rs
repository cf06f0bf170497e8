//! What is looked for, in every form in which it might lie somewhere, and the search itself.

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// Things to look for.
#[derive(Default)]
pub(super) struct Needles {
    names: Vec<String>,
    /// Each with the place of its name.
    patterns: Vec<(usize, Vec<u8>)>,
    texts: usize,
}

/// A search for all of them at once.
pub(super) struct Search {
    names: Vec<String>,
    of_pattern: Vec<usize>,
    automaton: AhoCorasick,
    pub(super) secrets: usize,
    pub(super) texts: usize,
}

impl Needles {
    /// Secret bytes: as they are, as a list of numbers on the wire, in hexadecimal, in decimal as `Debug` and JSON print lists, in base64.
    pub(super) fn secret(&mut self, name: impl Into<String>, secret: &[u8]) {
        let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
        let forms = [
            secret.to_vec(),
            wire_list(secret),
            hex(secret).into_bytes(),
            hex(secret).to_uppercase().into_bytes(),
            numbers.join(", ").into_bytes(),
            numbers.join(",").into_bytes(),
        ];
        self.add(name.into(), forms.into_iter().chain(base64s(secret)));
    }

    /// Plaintext: as it is, in hexadecimal, in base64.
    pub(super) fn text(&mut self, name: impl Into<String>, text: &[u8]) {
        let forms = [text.to_vec(), hex(text).into_bytes()];
        self.texts += 1;
        self.add(name.into(), forms.into_iter().chain(base64s(text)));
    }

    fn add(&mut self, name: String, forms: impl Iterator<Item = Vec<u8>>) {
        let place = self.names.len();
        self.names.push(name);
        self.patterns.extend(forms.map(|form| (place, form)));
    }

    pub(super) fn build(self) -> Search {
        let (of_pattern, patterns): (Vec<_>, Vec<_>) = self.patterns.into_iter().unzip();
        Search {
            secrets: self.names.len() - self.texts,
            names: self.names,
            texts: self.texts,
            of_pattern,
            automaton: AhoCorasick::new(patterns).expect("few enough"),
        }
    }
}

impl Search {
    /// Names of what is found.
    pub(super) fn find(&self, haystack: &[u8]) -> BTreeSet<&str> {
        let hits = self.automaton.find_overlapping_iter(haystack);
        hits.map(|hit| self.names[self.of_pattern[hit.pattern().as_usize()]].as_str())
            .collect()
    }

    /// The same for all files in a folder but those in the subfolder `but`; how many bytes they have.
    pub(super) fn find_in_files(&self, folder: &Path, but: &str) -> (BTreeSet<&str>, usize) {
        let (mut found, mut bytes) = (BTreeSet::new(), 0);
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !path.ends_with(but) {
                    let (inside, more) = self.find_in_files(&path, but);
                    found.extend(inside);
                    bytes += more;
                }
                continue;
            }
            let content = std::fs::read(&path).expect("readable");
            bytes += content.len();
            found.extend(self.find(&content));
        }
        (found, bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As MessagePack writes a list of bytes that nobody told it to write as bytes.
fn wire_list(bytes: &[u8]) -> Vec<u8> {
    let number = |byte: &u8| match byte {
        0..128 => vec![*byte],
        _ => vec![0xcc, *byte],
    };
    bytes.iter().flat_map(number).collect()
}

/// What base64 makes of the bytes in the middle of others: three ways to begin, two alphabets, without the edges that depend
/// on the neighbours.
fn base64s(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    [0, 1, 2].into_iter().flat_map(move |before| {
        let padded = [&vec![0; before], bytes].concat();
        let whole = padded.len() * 8 / 6;
        let begins = (before * 8).div_ceil(6);
        [&STANDARD, &URL_SAFE].map(|engine| {
            let text = engine.encode(&padded).into_bytes();
            text[begins..whole].to_vec()
        })
    })
}

#[test]
fn each_form_is_found_between_other_bytes() {
    let secret: Vec<u8> = (0..32u8)
        .map(|n| n.wrapping_mul(37).wrapping_add(200))
        .collect();
    let mut needles = Needles::default();
    needles.secret("it", &secret);
    needles.text("text", b"Penicillin allergy");
    let search = needles.build();
    let list: Vec<u8> = kithkin_protocol::wire::encode(&secret);
    let json = serde_json::to_vec(&secret).expect("JSON");
    let debug = format!("{secret:?}").into_bytes();
    let coded = |before: usize| STANDARD.encode([&vec![7; before], &secret, &b"abc"[..]].concat());
    let coded = [0, 1, 2].map(|before| coded(before).into_bytes());
    let forms = [secret.clone(), list, json, debug, hex(&secret).into_bytes()];
    for form in forms.iter().chain(&coded) {
        let hidden = [b"some bytes", form.as_slice(), b"others"].concat();
        assert_eq!(search.find(&hidden), BTreeSet::from(["it"]), "{form:?}");
        let mut torn = form.clone();
        torn[form.len() / 2] ^= 1;
        assert_eq!(search.find(&torn), BTreeSet::new());
    }
    assert_eq!(
        search.find(b"a Penicillin allergy!"),
        BTreeSet::from(["text"])
    );
}
