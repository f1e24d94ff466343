//! Transport over real sockets on loopback, with certificates made on the spot.
//!
//! Every deadline that a test waits for is short and belongs to the code under test; nothing sleeps to let
//! something else happen.

mod certificates;
mod client;
mod framing;
mod limits;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use certificates::World;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// No test should come near it.
const PATIENCE: Duration = Duration::from_secs(20);

async fn echo(request: Request) -> Response {
    let content_type = request.header("content-type").unwrap_or("none").to_owned();
    Response::new(StatusCode::OK, content_type, request.body)
}

async fn tls_server(world: &World, options: ServerOptions) -> (Server, Endpoint) {
    tls_server_with(world, options, echo).await
}

async fn tls_server_with<H: Handler>(
    world: &World,
    options: ServerOptions,
    handler: H,
) -> (Server, Endpoint) {
    let server = Server::tls(LOOPBACK, world.tls("gateway"), options, handler).await.expect("serves");
    let address = server.address().expect("has an address");
    (server, format!("https://{address}/msh").parse().expect("is an endpoint"))
}

fn client_of(world: &World, party: &str) -> Client {
    Client::new(world.tls(party), ClientOptions::default())
}

fn post(body: impl Into<Bytes>) -> Post<'static> {
    Post { content_type: "text/xml", soap_action: "\"ebXML\"", body: body.into().into(), parties: &[] }
}

/// A server without TLS, for what does not depend on it.
async fn plain_server(options: ServerOptions) -> (Server, SocketAddr) {
    let server = Server::loopback(LOOPBACK, options, echo).await.expect("serves");
    let address = server.address().expect("has an address");
    (server, address)
}

/// Sends octets as they are and returns all that comes back until the server closes.
async fn exchange(address: SocketAddr, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(octets).await.expect("sends");
    rest_of(&mut stream).await
}

async fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the server closes").expect("reads");
    String::from_utf8(answer).expect("is text")
}

/// The statuses of the responses in `answer`.
fn statuses(answer: &str) -> Vec<u16> {
    answer
        .lines()
        .filter_map(|line| line.split("HTTP/1.1 ").nth(1)?.split(' ').next()?.parse().ok())
        .collect()
}
