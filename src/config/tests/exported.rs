//! What is exported of an agreement: the certificates of the partner that count now.

use openssl::x509::extension::KeyUsage;

use super::*;
use crate::codec::cpa::read_cpa;
use crate::config::cpa::export_cpa;
use crate::security::samples;

/// In order of their registration.
const LIVES: [(&str, &str, &str); 4] = [
    ("over", "2024-01-01T00:00:00Z", "2030-05-31T23:59:59Z"),
    ("soon", "2024-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
    ("next", "2030-07-01T00:00:00Z", "2050-01-01T00:00:00Z"),
    ("now", "2024-01-01T00:00:00Z", "2040-01-01T00:00:00Z"),
];

#[test]
fn of_several_certificates_of_a_partner_the_one_that_is_valid_longest_is_exported() {
    let identities = LIVES.map(|(name, from, until)| {
        let key = samples::key(SignatureAlgorithm::EcdsaSha256);
        let usage = &mut KeyUsage::new();
        (name, samples::Identity::with(name, key, usage.digital_signature(), (from, until)))
    });
    // What the CPA names for connections and for signatures, or why there is none.
    let exported = |tls: &[&str], signing: &[&str]| {
        let world = world();
        for (name, identity) in &identities {
            let pem = identity.certificate.to_pem().expect("PEM");
            fs::write(world.path().join(format!("{name}.pem")), pem).expect("writes");
        }
        let listed = |key: &str, names: &[&str]| {
            let files: Vec<_> = names.iter().map(|name| format!("\"../{name}.pem\"")).collect();
            format!("{key} = [{}]", files.join(", "))
        };
        let partner = KFDA
            .replace("tls_certificates = [\"../kfda.pem\"]", &listed("tls_certificates", tls))
            .replace("signing_certificates = [\"../kfda.pem\"]", &listed("signing_certificates", signing));
        fs::write(world.path().join("partners/kfda.toml"), partner).expect("writes");
        let loaded = load(&world.path().join("gwanmun.toml")).expect("is in order");
        let agreement = loaded.partners.registry.agreements().next().expect("there is one");
        let now = "2030-06-01T00:00:00Z".parse().expect("an instant");
        let text = export_cpa(&loaded, agreement, "https://gateway.example/ebms", now);
        let text = text.map_err(|error| error.to_string())?;
        let cpa = read_cpa(&text.into_bytes().into()).expect("reads");
        let [_, partner] = &cpa.parties;
        let named = |id: &str| {
            let der = partner.certificate(id).expect("is named");
            identities.iter().find(|(_, identity)| identity.der() == der).map(|(name, _)| *name)
        };
        Ok::<_, String>([named("party2-tls"), named("party2-signing")])
    };
    let every = LIVES.map(|(name, ..)| name);
    let now = Some("now");
    assert_eq!(exported(&every, &every), Ok([now, now]));
    assert_eq!(exported(&["over", "soon"], &["now", "over"]), Ok([Some("soon"), now]));
    let none =
        |what: &str| Err(format!("KFDA has no {what} certificate that is valid now and could be written"));
    assert_eq!(exported(&["over", "next"], &every), none("TLS"));
    assert_eq!(exported(&every, &["over", "next"]), none("signing"));
}
