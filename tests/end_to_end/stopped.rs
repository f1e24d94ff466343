//! A stop that was asked for: what was acknowledged is in the store, nobody is cut off without need, exit code 0.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gwanmun::model::Sealed;
use rustix::process::Signal;
use tokio::time::interval;

use crate::connection::Connection;
use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, until};
use crate::world::World;

/// Who post at once, each one declaration after the other.
const SENDERS: u32 = 6;
/// Acknowledgments before the stop.
const ENOUGH: u32 = 12;

//= ebms2 6.1 MUST: what is acknowledged is on stable storage
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_stop_is_there_after_it() {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let mut gateway = world.serve().await;
    let (serials, acknowledged) = (Arc::new(AtomicU32::new(1)), Arc::new(AtomicU32::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (world, broker) = (Arc::clone(&world), Arc::clone(&broker));
            let (serials, acknowledged) = (Arc::clone(&serials), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let mut posted = Vec::new();
                loop {
                    let sealed = lodging(&world, &broker, serials.fetch_add(1, Ordering::Relaxed));
                    let answer = broker.try_post(&sealed).await.ok();
                    let told = answer.as_ref().map(|answer| broker.read(answer, &sealed));
                    match told {
                        Some(Told::Acknowledged) => {
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                            posted.push((sealed, answer.map(|answer| answer.body)));
                        }
                        None | Some(Told::Status(503)) => {
                            posted.push((sealed, None));
                            return posted;
                        }
                        Some(other) => panic!("nobody said that: {other:?}"),
                    }
                }
            })
        })
        .collect();
    until("enough is acknowledged", async || (acknowledged.load(Ordering::Relaxed) >= ENOUGH).then_some(()))
        .await;
    gateway.signal(Signal::TERM);
    let mut posted: Vec<(Sealed, Option<Bytes>)> = Vec::new();
    for sender in senders {
        posted.extend(sender.await.expect("does not panic"));
    }
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());

    let _gateway = world.serve().await;
    for (sealed, before) in &posted {
        let answer = broker.post(sealed).await;
        assert_eq!(broker.read(&answer, sealed), Told::Acknowledged);
        if let Some(before) = before {
            assert_eq!(answer.body, *before, "P1, P3: the acknowledgment is the one from before the stop");
        }
    }
    let taken = world.list("/messages").await;
    let ids: BTreeSet<_> = taken.iter().map(|message| message["key"]["message_id"].to_string()).collect();
    assert_eq!((taken.len(), ids.len()), (posted.len(), posted.len()), "P3: each is there once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_heard_from_the_first_word_on() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = World::new();
        let settings = world.settings().to_str().expect("is text");
        let mut gateway = Process::start(world.path("gateway.log"), ["serve", "--config", settings]);
        gateway.says("rules.activated").await;
        gateway.signal(signal);
        assert_eq!(gateway.ended().await, 0, "before it is ready, or just then:\n{}", gateway.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_half_sent_at_a_stop_is_told_to_come_again() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let mut gateway = world.serve().await;
    let sealed = lodging(&world, &broker, 1);
    let (first, rest) = sealed.body.held().split_at(sealed.body.held().len() / 2);

    let mut connection = Connection::open(&world).await;
    connection.begin(&world, &sealed.content_type, sealed.body.held().len()).await;
    assert!(connection.send(first).await, "a half is taken");
    gateway.signal(Signal::INT);
    gateway.says("gateway.draining").await;
    assert!(connection.send(rest).await, "the other half is taken");
    assert_eq!(connection.status().await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());

    let _gateway = world.serve().await;
    assert_eq!(world.list("/messages").await.len(), 0, "nothing of it was taken");
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_waits_for_nobody() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    world.edit("gwanmun.toml", "drain_deadline = \"5s\"", "drain_deadline = \"1h\"\nbody_deadline = \"1h\"");
    let mut gateway = world.serve().await;
    let sealed = lodging(&world, &broker, 1);
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);

    let mut connection = Connection::open(&world).await;
    connection.begin(&world, "text/xml", usize::pow(2, 24)).await;
    let dripping = tokio::spawn(async move {
        // At a pace that the gateway bears, for as long as it is there.
        let mut ticks = interval(Duration::from_millis(50));
        while connection.send(&[b' '; 256]).await {
            ticks.tick().await;
        }
        connection.status().await
    });
    gateway.signal(Signal::TERM);
    gateway.says("gateway.draining").await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    assert_eq!(dripping.await.expect("does not panic"), "", "what was in hand is cut");

    let _gateway = world.serve().await;
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged, "what was acknowledged is there");
    assert_eq!(world.list("/messages").await.len(), 1);
}

fn lodging(world: &World, broker: &Correspondent, serial: u32) -> Sealed {
    let lodging = world.lodging(serial);
    broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads))
}
