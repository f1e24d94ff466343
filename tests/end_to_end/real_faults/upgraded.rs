//! An upgrade in the midst of work: deliveries that an earlier format of the store holds go on wherever they stood, and what
//! is over stays over (P2, P3, P4, P19).

use std::path::Path;
use std::sync::Arc;

use super::load::{PARTNERS, all_is_handed_on_once, all_is_proved, answered, lodging, nothing_is_lost, play};
use crate::correspondent::Correspondent;
use crate::process::until;
use crate::world::World;

/// A store as format 7 had it: nothing was purged then, and no octets stood in a file of others.
fn as_format_7(store: &Path) {
    let disk = rusqlite::Connection::open(store.join("gwanmun.db")).expect("opens");
    let back = "DROP TABLE IF EXISTS piece; DROP INDEX message_kept; ALTER TABLE message DROP COLUMN purged; \
                DROP INDEX delivery_kept; DROP INDEX delivery_open; ALTER TABLE delivery DROP COLUMN purged; \
                PRAGMA user_version = 7;";
    disk.execute_batch(back).expect("as it was");
    disk.close().expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_an_earlier_format_go_on_wherever_they_stood_p19() {
    let world = Arc::new(World::new());
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    // One takes and answers, one takes and never answers, one has it and its receipt does not come, one is not there.
    let _running = play(&world, &["broker", "kpta"]).await;
    let mut dead = world.play("npqs", &["--dead"]).await;
    let mut slow = world.play("customs", &["--slow", "1h"]).await;
    let mut gateway = world.serve().await;
    let mut one = lodging(&world, &broker, 1, Vec::new());
    one.acknowledgment = answered(&broker, &one.sealed).await;
    let number = |code: &str| {
        let partner = world.read(&format!("partners/{code}.toml"));
        partner.lines().find_map(|line| line.strip_prefix("key = ")).expect("a box number").replace('"', "")
    };
    let state = async |code: &str, action: &str| {
        let to = number(code);
        let deliveries = world.list("/deliveries").await;
        let mut of = deliveries.iter().filter(|it| it["destination"] == *to && it["action"] == *action);
        of.next().map(|it| it["state"].as_str().expect("a state").to_owned())
    };
    until("each stands where it shall", async || {
        let has_it = !world.received("customs").is_empty();
        let completed = state("kpta", "GOVCBRFR2").await.is_some_and(|state| state == "delivered");
        let sending =
            state("npqs", "GOVCBRX02").await.is_some_and(|state| state == "awaiting_acknowledgment");
        (has_it && completed && sending).then_some(())
    })
    .await;
    assert_eq!(state("customs", "GOVCBR929").await.as_deref(), Some("awaiting_acknowledgment"));
    assert_ne!(state("kfda", "GOVCBRX01").await.as_deref(), Some("delivered"));
    gateway.kill();
    dead.kill();
    slow.kill();

    as_format_7(&store);
    let mut gateway = world.serve().await;
    gateway.says("store.upgraded").await;
    let _others = play(&world, &["customs", "kfda", "npqs"]).await;
    let posted = [one];
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &store);
}
