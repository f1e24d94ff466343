//! A connection to the listener: whatever comes, each answer is one of HTTP, and the connection ends (S13, S14).

#![no_main]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use gwanmun::transport::{Request, Response, Server, ServerOptions, StatusCode};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

fuzz_target!(|octets: &[u8]| {
    static SERVED: OnceLock<(Runtime, Server)> = OnceLock::new();
    let (runtime, server) = SERVED.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let short = Duration::from_millis(20);
        let options = ServerOptions {
            header_deadline: short,
            idle_deadline: short,
            body_deadline: short,
            body_bytes_max: 4096,
            ..ServerOptions::default()
        };
        let echo = |request: Request| async move {
            assert!(request.body.len() <= 4096, "the handler sees nothing past the limit");
            Response::new(StatusCode::OK, "text/plain", request.body)
        };
        let server = Server::loopback(SocketAddr::from(([127, 0, 0, 1], 0)), options, echo);
        let server = runtime.block_on(server).expect("serves");
        (runtime, server)
    });
    let address = server.address().expect("tcp");
    runtime.block_on(async {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        // The server may have had enough before the end.
        drop(stream.write_all(octets).await);
        drop(stream.shutdown().await);
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        drop(read.expect("the connection ends"));
        // A client of HTTP/1.0 is answered in it.
        let status = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "));
        assert!(answer.is_empty() || status.is_some(), "{answer:?}");
        assert!(status.is_none_or(|status| !status.starts_with(b"500")), "the handler panicked");
    });
});
