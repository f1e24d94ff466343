//! libxml2 and libxmlsec1 behind safe types: the only `unsafe` code.

mod libxml2;
mod xmlsec;
mod xsd;

pub use libxml2::CanonicalForm;
pub use xmlsec::{
    ENVELOPE_BYTES_MAX, Part, PrivateKey, PublicKey, REFERENCES_MAX, Selection, VerifiedReference,
    VerifiedSignature, XML_PART_BYTES_MAX, XmlSec, XmlSecError,
};
pub use xsd::{
    DOCUMENT_BYTES_MAX, FINDINGS_MAX, PathPrefixes, Schema, SchemaError, SchemaFault, SchemaFiles,
    SchemaFinding,
};

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &[u8]); 2] = [
        (
            "main.xsd",
            br#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:c="urn:c" targetNamespace="urn:t">
                <xs:import namespace="urn:c" schemaLocation="common.xsd"/>
                <xs:element name="Count" type="c:CountType"/></xs:schema>"#,
        ),
        (
            "common.xsd",
            br#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:c">
                <xs:simpleType name="CountType"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>"#,
        ),
    ];

    /// libxmlsec1 installs an entity loader for the process, schemas register input callbacks for it: while
    /// either is at work, the other must neither be starved nor read for it.
    #[test]
    fn schemas_and_signatures_do_not_disturb_each_other() {
        let envelope = include_bytes!("../../tests/conformance/samples/ack.xml");
        let certificate = include_bytes!("../../tests/conformance/samples/gateway.crt");
        let certificate = openssl::x509::X509::from_pem(certificate).expect("a certificate");
        let key = certificate.public_key().and_then(|key| key.public_key_to_der()).expect("its key");
        let key = PublicKey::from_spki_der(&key).expect("a public key");
        let files = FILES.map(|(name, octets)| (name.to_owned(), bytes::Bytes::from_static(octets)));
        let files: SchemaFiles = std::sync::Arc::new(files.into());
        let compile = || {
            let schema = Schema::compile("main.xsd", &files, &[]).expect("compiles");
            assert_eq!(schema.validate(b"<Count xmlns='urn:t'>1</Count>"), []);
            assert_eq!(schema.validate(b"<Count xmlns='urn:t'>one</Count>").len(), 1);
        };
        let verify = || {
            let engine = XmlSec::init().expect("libxmlsec1 starts");
            engine.verify(envelope, &[], &key).expect("verifies");
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20).for_each(|_| compile()));
                scope.spawn(|| (0..20).for_each(|_| verify()));
            }
        });
    }
}
