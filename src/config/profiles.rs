//! The partner profiles that the program carries, by name (digest, 18).
//!
//! Promises: a profile is closed like the strict one: it names every deviation and every algorithm that it allows.
//! Does not hold SHA-1: that is an agreement's, with the day on which it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::model::{
    Canonicalization, Deviation, DigestMethod, PartnerProfile, SignatureAlgorithm, SignatureTerms,
    SigningTerms, ValueError,
};

/// A profile and what it accepts of signatures.
#[derive(Clone, Debug)]
pub struct NamedProfile {
    /// What a partner may do.
    pub profile: PartnerProfile,
    /// One line on whom it is for.
    pub about: String,
    /// What is accepted of signatures, and how we sign.
    pub terms: SignatureTerms,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    about: String,
    deviations: BTreeSet<Deviation>,
    algorithms: Vec<String>,
    digests: Vec<String>,
    canonicalizations: Vec<String>,
}

/// Every profile, by name.
pub fn profiles() -> &'static BTreeMap<String, NamedProfile> {
    static PROFILES: OnceLock<BTreeMap<String, NamedProfile>> = OnceLock::new();
    PROFILES.get_or_init(|| {
        let entries: BTreeMap<String, Entry> =
            toml::from_str(include_str!("profiles.toml")).expect("a test reads it");
        entries.into_iter().map(|(name, entry)| (name.clone(), named(&name, entry))).collect()
    })
}

/// The profile of this name.
///
/// # Errors
/// [`ValueError`] when there is none.
pub fn profile(name: &str) -> Result<&'static NamedProfile, ValueError> {
    profiles().get(name).ok_or_else(|| ValueError::new(PROFILE_NAMES, name))
}

fn named(name: &str, entry: Entry) -> NamedProfile {
    fn each<T>(words: &[String], read: fn(&str) -> Result<T, ValueError>) -> Vec<T> {
        words.iter().map(|word| read(word).expect("a test reads it")).collect()
    }
    NamedProfile {
        profile: PartnerProfile { name: name.into(), deviations: entry.deviations },
        about: entry.about,
        terms: SignatureTerms {
            own: SigningTerms::strict(SignatureAlgorithm::RsaSha256),
            accepted: each(&entry.algorithms, algorithm),
            digests: each(&entry.digests, digest),
            canonicalizations: each(&entry.canonicalizations, canonicalization),
            sha1_until: None,
        },
    }
}

pub(super) fn algorithm(text: &str) -> Result<SignatureAlgorithm, ValueError> {
    let found = SignatureAlgorithm::agreeable().find(|algorithm| algorithm.as_str() == text);
    let expected =
        "rsa-sha256, -384 or -512, rsa-pss-sha256, -384 or -512, ecdsa-sha256, -384 or -512, or ed25519";
    found.ok_or_else(|| ValueError::new(expected, text))
}

pub(super) fn digest(text: &str) -> Result<DigestMethod, ValueError> {
    let found = DigestMethod::agreeable().find(|method| method.as_str() == text);
    found.ok_or_else(|| ValueError::new("sha256, sha384 or sha512", text))
}

pub(super) fn canonicalization(text: &str) -> Result<Canonicalization, ValueError> {
    let found = Canonicalization::ALL.into_iter().find(|form| form.as_str() == text);
    found.ok_or_else(|| ValueError::new("c14n, c14n11 or exclusive", text))
}

const PROFILE_NAMES: &str =
    "strict, standard, digikoppeling, digikoppeling-plain, nhs-spine, norwegian-health or phinms";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_reads_and_the_strict_one_is_the_strict_terms() {
        let names: Vec<_> = profiles().keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "digikoppeling",
                "digikoppeling-plain",
                "nhs-spine",
                "norwegian-health",
                "phinms",
                "standard",
                "strict"
            ]
        );
        let strict = profile(PartnerProfile::STRICT).expect("is there");
        assert_eq!(strict.profile, PartnerProfile::strict());
        assert_eq!(strict.terms, SignatureTerms::strict(SignatureAlgorithm::RsaSha256));
        for (name, named) in profiles() {
            assert!(PROFILE_NAMES.contains(name.as_str()), "{name}");
            assert!(!named.profile.allows(Deviation::Sha1), "{name}: SHA-1 has a day, and no profile");
        }
        // The page says the same.
        let page = include_str!("../../docs/operations.md");
        let all = &profile("standard").expect("is there").terms;
        assert_eq!(all.accepted, SignatureAlgorithm::agreeable().collect::<Vec<_>>());
        assert_eq!(all.digests, DigestMethod::agreeable().collect::<Vec<_>>());
        assert_eq!(all.canonicalizations, Canonicalization::ALL);
        for (name, named) in profiles() {
            let words = |words: Vec<&str>| {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            };
            let deviations = words(named.profile.deviations.iter().map(|d| d.as_str()).collect());
            let terms = &named.terms;
            let of_terms = [
                words(terms.accepted.iter().map(|a| a.as_str()).collect()),
                words(terms.digests.iter().map(|d| d.as_str()).collect()),
                words(terms.canonicalizations.iter().map(|c| c.as_str()).collect()),
            ];
            let of_terms = if name == "standard" { "all but SHA-1".to_owned() } else { of_terms.join("; ") };
            let deviations = if deviations.is_empty() { "none" } else { &deviations };
            let row = format!("| `{name}` | {deviations} | {of_terms} |");
            assert!(page.lines().any(|line| line == row), "docs/operations.md has no {row}");
        }
        assert!(profile("lenient").is_err());
        assert!(algorithm("rsa-sha1").is_err() && digest("sha1").is_err());
    }
}
