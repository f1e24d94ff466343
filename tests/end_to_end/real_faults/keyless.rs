//! The files of all keys and certificates go away under a running gateway: nobody misses them, wherever a message is in its
//! life, until the gateway reads them again (P1 to P4, P14).

use std::fs;
use std::sync::Arc;

use super::load::{
    Load, PARTNERS, all_is_handed_on_once, all_is_proved, answered, lodging, nothing_is_lost, play,
};
use crate::correspondent::Correspondent;
use crate::process::{Process, until};
use crate::world::World;

const SENDERS: usize = 4;
/// Lodgings before and after the files have gone.
const EACH: u32 = 6;
/// Serials of what is posted beside the load.
const BESIDE: u32 = 600_000;
/// The exit code for settings with mistakes.
const SETTINGS_REFUSED: i32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn keys_whose_files_are_taken_away_are_missed_by_nobody_until_they_are_read_again() {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let _running = play(&world, &PARTNERS).await;
    let mut gateway = world.serve().await;
    let load = Load::begin(&world, &broker, SENDERS);
    // Of these some have gone all their way, and some are anywhere on it.
    load.allow(EACH);
    until("some are acknowledged", async || (load.acknowledged() > 2).then_some(())).await;
    let (pki, away) = (world.path("pki"), world.path("pki.away"));
    fs::rename(&pki, &away).expect("moved");
    load.allow(EACH);
    until("all are acknowledged", async || (load.acknowledged() == 2 * EACH).then_some(())).await;
    let mut posted = load.end().await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;

    // What cannot be read is not put in force, and what is in force stays.
    let refused = world.reload().await;
    assert_eq!(refused.status.as_u16(), 422, "{}", String::from_utf8_lossy(&refused.body));
    let mut after = lodging(&world, &broker, BESIDE, Vec::new());
    after.acknowledgment = answered(&broker, &after.sealed).await;
    assert!(after.acknowledgment.is_some(), "it signs as before");
    posted.push(after);
    gateway.kill();

    let settings = world.settings().to_str().expect("is text");
    let mut without = Process::start(world.path("gateway.log"), ["serve", "--config", settings]);
    assert_eq!(without.ended().await, SETTINGS_REFUSED, "{}", without.said());
    assert!(
        without.said().contains("pki/gateway/signing.key"),
        "it names what is missing: {}",
        without.said()
    );
    fs::rename(&away, &pki).expect("moved back");
    let mut gateway = world.serve().await;
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
}
