//! The certificate that a partner signs with is put on a revocation list: from the next reload on nothing that it signs is
//! accepted, until the list says otherwise (S16).

use std::fs;

use gwanmun::model::{EbxmlError, ErrorCode};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::extension::{AuthorityKeyIdentifier, CrlNumber};
use openssl::x509::{X509, X509CrlBuilder, X509RevokedBuilder};

use crate::correspondent::{Correspondent, Told};
use crate::process::run;
use crate::world::World;

const SETTINGS: &str = "gwanmun.toml";
const LIST: &str = "revoked.pem";

//= ebms2 4.1.3 MUST: revocation is asked at reception; what a revoked certificate signs is SecurityFailure
#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_with_a_revoked_certificate_is_refused_from_the_next_reload_on_s16() {
    let world = World::new();
    let mut gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let lodge = async |serial| {
        let lodging = world.lodging(serial);
        let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
        broker.ask(&broker.sealed(&message)).await.without_words()
    };
    let list = |revoked: &[&str]| world.write(LIST, &revocation_list(&world, revoked));
    let reload = async || assert_eq!(world.reload().await.status.as_u16(), 200);
    let check = || {
        let settings = world.settings().to_str().expect("is text");
        let ran = run(&world.path("."), ["check", "--config", settings]);
        String::from_utf8(ran.stdout).expect("is text")
    };
    let is_told = |said: &str| said.lines().any(|line| line.contains("is on a revocation list"));

    // Another party's is on it.
    list(&["kfda"]);
    world.edit(SETTINGS, "[tls]\n", &format!("[tls]\nrevocation_lists = [\"{LIST}\"]\n"));
    reload().await;
    assert_eq!(lodge(1).await, Told::Acknowledged);
    let warned = check();
    assert!(is_told(&warned) && warned.contains("kfda.toml") && !warned.contains("broker.toml"), "{warned}");

    // It counts from the reload on.
    list(&["kfda", "broker"]);
    assert_eq!(lodge(2).await, Told::Acknowledged);
    reload().await;
    let signature = "/soap:Envelope/soap:Header/ds:Signature".to_owned();
    let errors = vec![EbxmlError::new(ErrorCode::SecurityFailure, signature, "")];
    assert_eq!(lodge(3).await, Told::Errors { signed: true, errors });
    gateway.says("signer-revoked").await;
    assert_eq!(check().lines().filter(|line| is_told(line)).count(), 2, "{}", check());

    list(&["kfda"]);
    reload().await;
    assert_eq!(lodge(3).await, Told::Acknowledged);
}

/// A list of the practice authority with the signing certificates of these parties on it, valid today.
fn revocation_list(world: &World, revoked: &[&str]) -> String {
    let pem = |file: &str| fs::read(world.path(&format!("pki/{file}"))).expect(file);
    let certificate = |file: &str| X509::from_pem(&pem(file)).expect(file);
    let (issuer, key) = (certificate("ca.pem"), PKey::private_key_from_pem(&pem("ca.key")).expect("a key"));
    let make = || {
        let mut list = X509CrlBuilder::new()?;
        list.set_issuer_name(issuer.subject_name())?;
        let now = Asn1Time::days_from_now(0)?;
        list.set_last_update(&now)?;
        list.set_next_update(&*Asn1Time::days_from_now(1)?)?;
        for party in revoked {
            let mut entry = X509RevokedBuilder::new()?;
            entry.set_serial_number(certificate(&format!("{party}/signing.pem")).serial_number())?;
            entry.set_revocation_date(&now)?;
            list.add_revoked(entry.build())?;
        }
        let of = X509::builder()?;
        let context = of.x509v3_context(Some(&issuer), None);
        list.append_extension(AuthorityKeyIdentifier::new().keyid(true).build(&context)?)?;
        list.append_extension(CrlNumber::new(BigNum::from_u32(1)?)?.build()?)?;
        list.sign(&key, MessageDigest::sha256())?;
        list.build()?.to_pem()
    };
    String::from_utf8(make().expect("a revocation list")).expect("PEM is text")
}
