//! What the gateway puts on the wire, taken apart by hand (ebMS 2.0, 2.1, B.2): nothing of our decoder is asked.

use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::sha::sha256;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_openssl::SslStream;

use crate::correspondent::{Correspondent, Told};
use crate::process::until;
use crate::world::World;

//= ebms2 2.1.2 MUST: what is sent with payloads is multipart/related with the type text/xml, a start and a quoted boundary
//= ebms2 2.1.3.1 MUST: the SOAP part that is sent is text/xml; charset=UTF-8 under the Content-ID that start names
//= ebms2 2.1.4 MUST: every payload that is sent has a Content-ID that the Manifest names and the signature digests
//= ebms2 B.2.2 MUST: a POST is sent with SOAPAction "ebXML" and no field of MIME but Content-Type
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_a_package_that_anyone_can_read() {
    let world = World::new();
    let listener = TcpListener::bind(listens(&world)).await.expect("the port of the agency is free");
    let _gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let documents: Vec<Vec<u8>> =
        lodging.payloads.iter().map(|payload| payload.body.held().to_vec()).collect();
    let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);

    let (head, body) = taken(&world, &listener).await;
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("POST /ebms HTTP/1.1"));
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value)))
        .collect();
    let field = |wanted: &str| {
        let mut found = fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value);
        (found.next(), found.next())
    };
    assert_eq!(field("soapaction"), (Some("\"ebXML\""), None));
    assert_eq!(field("content-length").0, Some(&*body.len().to_string()));
    for mime in
        ["mime-version", "content-transfer-encoding", "content-id", "content-encoding", "transfer-encoding"]
    {
        assert_eq!(field(mime), (None, None), "{mime}");
    }
    let content_type = field("content-type").0.expect("has one");
    let parameters = content_type
        .strip_prefix("multipart/related; type=\"text/xml\"; boundary=\"")
        .expect("its beginning");
    let (boundary, start) = parameters.split_once("\"; start=\"<").expect("a start");
    let start = start.strip_suffix(">\"").expect("its end");

    // Every line ends in CRLF, nothing stands before the first boundary or behind the last.
    let inner = body.strip_prefix(format!("--{boundary}\r\n").as_bytes()).expect("the first boundary");
    let inner = inner.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes()).expect("the last boundary");
    let parts: Vec<(String, &[u8])> = split(inner, format!("\r\n--{boundary}\r\n").as_bytes())
        .into_iter()
        .map(|part| {
            let end = find(part, b"\r\n\r\n").expect("a head");
            (String::from_utf8(part[..end].to_vec()).expect("a head is text"), &part[end + 4..])
        })
        .collect();
    let [(root, envelope), payloads @ ..] = parts.as_slice() else { panic!("no part") };
    assert_eq!(
        *root,
        format!(
            "Content-Type: text/xml; charset=UTF-8\r\nContent-ID: <{start}>\r\nContent-Transfer-Encoding: binary"
        )
    );
    let envelope = std::str::from_utf8(envelope).expect("UTF-8");
    assert!(envelope.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{envelope}");
    assert_eq!(
        envelope.matches("<eb:Reference ").count(),
        payloads.len(),
        "every payload is in the Manifest"
    );
    assert_eq!(envelope.matches("<ds:Reference ").count(), 1 + payloads.len(), "and in the signature");
    assert!(!payloads.is_empty());
    for (head, octets) in payloads {
        let (_, id) = head.split_once("Content-ID: <").expect("a Content-ID");
        let (id, rest) = id.split_once('>').expect("its end");
        assert_eq!(rest, "\r\nContent-Transfer-Encoding: binary");
        assert!(envelope.contains(&format!("xlink:href=\"cid:{id}\"")), "{id}");
        let (_, reference) =
            envelope.split_once(&format!("<ds:Reference URI=\"cid:{id}\">")).expect("is signed");
        let (_, value) = reference.split_once("<ds:DigestValue>").expect("a digest");
        assert_eq!(value.split_once('<').expect("its end").0, STANDARD.encode(sha256(octets)), "{id}");
    }
    let attached = payloads.iter().any(|(_, octets)| documents.iter().any(|document| document == octets));
    assert!(attached, "what was lodged goes on octet for octet (P6)");
}

/// Where the first agency listens.
fn listens(world: &World) -> String {
    let settings = std::fs::read_to_string(world.party("kfda")).expect("is there");
    let (_, address) = settings.split_once("ebms = \"").expect("an address");
    address.split_once('"').expect("its end").0.to_owned()
}

//= ebms2 B.2.4 MUST: a message in an answer that is refused is no success, also where no acknowledgment is awaited
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_is_no_web_page() {
    let world = World::new();
    let of_agency = "sync_reply_mode = \"mshSignalsOnly\"";
    world.edit("partners/kfda.toml", of_agency, "sync_reply_mode = \"none\"\nack_requested = \"never\"");
    let listener = TcpListener::bind(listens(&world)).await.expect("the port of the agency is free");
    let _gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);

    // It comes under an agreement that is not there, so it is refused; but it is a message, and may be an error.
    let (_, first) = answered(&world, &listener, |body| {
        let sent = String::from_utf8_lossy(body);
        let (_, from) = sent.split_once("<eb:From>").expect("a From");
        let (from, rest) = from.split_once("</eb:From>").expect("its end");
        let (_, to) = rest.split_once("<eb:To>").expect("a To");
        let (to, rest) = to.split_once("</eb:To>").expect("its end");
        let (_, id) = rest.split_once("<eb:MessageId>").expect("a MessageId");
        let id = id.split_once('<').expect("its end").0;
        let envelope = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:eb=\"http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd\"><soap:Header>\
             <eb:MessageHeader soap:mustUnderstand=\"1\" eb:version=\"2.0\"><eb:From>{to}</eb:From><eb:To>{from}</eb:To>\
             <eb:CPAId>swgw-kfda-before</eb:CPAId><eb:ConversationId>c</eb:ConversationId>\
             <eb:Service>urn:oasis:names:tc:ebxml-msg:service</eb:Service><eb:Action>MessageError</eb:Action>\
             <eb:MessageData><eb:MessageId>error@kfda.example</eb:MessageId><eb:Timestamp>2026-01-01T00:00:00Z\
             </eb:Timestamp><eb:RefToMessageId>{id}</eb:RefToMessageId></eb:MessageData></eb:MessageHeader>\
             <eb:ErrorList soap:mustUnderstand=\"1\" eb:version=\"2.0\" eb:highestSeverity=\"Error\">\
             <eb:Error eb:errorCode=\"Inconsistent\" eb:severity=\"Error\"/></eb:ErrorList></soap:Header><soap:Body/>\
             </soap:Envelope>"
        );
        response("200 OK", "text/xml; charset=UTF-8", &envelope)
    })
    .await;
    let page = |_: &[u8]| response("200 OK", "text/html", "<html>thank you</html>");
    let (_, second) = answered(&world, &listener, page).await;
    assert_eq!(first, second, "it is sent again, octet for octet");
    until("what took it answers with a page, and that is enough", async || {
        let deliveries = world.list("/deliveries").await;
        let sent =
            deliveries.iter().find(|delivery| delivery["attempts"] == 2 && delivery["state"] == "delivered");
        sent.map(|_| ())
    })
    .await;
}

fn response(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The first request that comes, which is answered with 202.
async fn taken(world: &World, listener: &TcpListener) -> (String, Vec<u8>) {
    answered(world, listener, |_| "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()).await
}

/// The first request that comes, which is answered with what is made of its body.
async fn answered(
    world: &World,
    listener: &TcpListener,
    answer: impl FnOnce(&[u8]) -> String,
) -> (String, Vec<u8>) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("an acceptor");
    acceptor.set_ca_file(world.path("pki/ca.pem")).expect("the anchor");
    acceptor.set_certificate_chain_file(world.path("pki/kfda/tls.pem")).expect("the certificate");
    acceptor.set_private_key_file(world.path("pki/kfda/tls.key"), SslFiletype::PEM).expect("its key");
    acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let session = openssl::ssl::Ssl::new(acceptor.build().context()).expect("a session");
    let (stream, _) = listener.accept().await.expect("somebody connects");
    let mut stream = SslStream::new(session, stream).expect("a stream");
    Pin::new(&mut stream).accept().await.expect("shakes hands");
    let mut octets = Vec::new();
    loop {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).await.expect("comes whole");
        assert_ne!(read, 0, "it ends before its end");
        octets.extend_from_slice(&some[..read]);
        let Some(end) = find(&octets, b"\r\n\r\n") else { continue };
        let head = String::from_utf8(octets[..end].to_vec()).expect("a head is text");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().expect("a number"))
        });
        if octets.len() == end + 4 + length.expect("a Content-Length") {
            let body = octets.split_off(end + 4);
            stream.write_all(answer(&body).as_bytes()).await.expect("is told");
            return (head, body);
        }
    }
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}

fn split<'a>(mut octets: &'a [u8], at: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while let Some(place) = find(octets, at) {
        pieces.push(&octets[..place]);
        octets = &octets[place + at.len()..];
    }
    pieces.push(octets);
    pieces
}
