//! A connection of a partner's own, octet by octet: requests that begin and do not go on, or not at once.

use std::pin::Pin;

use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::world::World;

pub(crate) struct Connection(Pin<Box<SslStream<TcpStream>>>);

impl Connection {
    /// Mutual TLS, with the broker's certificate.
    pub(crate) async fn open(world: &World) -> Self {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
        connector.set_ca_file(world.path("pki/ca.pem")).expect("the anchor");
        let (certificate, key) = (world.path("pki/broker/tls.pem"), world.path("pki/broker/tls.key"));
        connector.set_certificate_chain_file(certificate).expect("the certificate");
        connector.set_private_key_file(key, SslFiletype::PEM).expect("its key");
        let configuration = connector.build().configure().expect("can be configured");
        let session = configuration.into_ssl("localhost").expect("a session");
        let stream = TcpStream::connect(authority(world)).await.expect("connects");
        let mut stream = Box::pin(SslStream::new(session, stream).expect("a stream"));
        stream.as_mut().connect().await.expect("shakes hands");
        Self(stream)
    }

    /// The head of a request that announces so many octets.
    pub(crate) async fn announce(&mut self, world: &World, content_type: &str, length: usize, more: &str) {
        let authority = authority(world);
        let head = format!(
            "POST /ebms HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {content_type}\r\n\
             SOAPAction: \"ebXML\"\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n"
        );
        assert!(self.send(head.as_bytes()).await, "the head is taken");
    }

    /// Announces, and returns when the gateway asks for the body: it has the request in hand then.
    pub(crate) async fn begin(&mut self, world: &World, content_type: &str, length: usize) {
        self.announce(world, content_type, length, "Expect: 100-continue\r\n").await;
        let mut asked = [0; CONTINUE.len()];
        self.0.read_exact(&mut asked).await.expect("is asked for the body");
        assert_eq!(&asked, CONTINUE);
    }

    /// Sends octets; false when the gateway takes no more.
    pub(crate) async fn send(&mut self, octets: &[u8]) -> bool {
        self.0.write_all(octets).await.is_ok()
    }

    /// One answer with a Content-Length, on a connection that goes on.
    pub(crate) async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        loop {
            answer.push(self.0.read_u8().await.expect("an answer comes whole"));
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() == length.unwrap_or(0) {
                return text;
            }
        }
    }

    /// The status line of the answer; empty when the connection ends without one.
    pub(crate) async fn status(&mut self) -> String {
        self.rest().await.lines().next().unwrap_or_default().to_owned()
    }

    /// All that comes until the connection ends.
    pub(crate) async fn rest(&mut self) -> String {
        let mut answer = Vec::new();
        // One that is cut has its end in an error.
        drop(self.0.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn authority(world: &World) -> String {
    world.endpoint().trim_start_matches("https://").trim_end_matches("/ebms").to_owned()
}

const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";
