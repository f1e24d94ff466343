//! The same MessageId again: the first answer octet for octet, or, with other content, an error; also after the
//! gateway was killed (P1, P3).

use bytes::Bytes;
use gwanmun::model::{EbxmlError, ErrorCode, Sealed};

use crate::correspondent::{Correspondent, Told};
use crate::world::World;

//= ebms2 6.5.6 MUST: a duplicate gets the first response octet for octet, after a crash too
//= ebms2 6.5.3 MUST: an acknowledgment leaves only after the message is stored
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_once() {
    let world = World::new();
    let mut gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    let sealed = broker.sealed(&message);

    let receipts = [broker.post(&sealed), broker.post(&sealed), broker.post(&sealed)];
    let [first, second, third] = receipts;
    let (first, second, third) = tokio::join!(first, second, third);
    assert_eq!(broker.read(&first, &sealed), Told::Acknowledged);
    let receipt = first.body;
    assert_eq!((&second.body, &third.body), (&receipt, &receipt), "at the same time");
    same(&world, &broker, &sealed, &receipt).await;

    let mut other = message.clone();
    let payload = &mut other.payloads[4];
    payload.body = Bytes::from_static(b"%PDF-1.4 another certificate").into();
    payload.digest = gwanmun::model::Digest::of(payload.body.held());
    let place = "/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:MessageId".to_owned();
    let conflict = EbxmlError::new(
        ErrorCode::Inconsistent,
        place,
        "this MessageId was used before, for another message",
    );
    let expected = Told::Errors { signed: true, errors: vec![conflict] };
    assert_eq!(broker.ask(&broker.sealed(&other)).await, expected, "other content");
    same(&world, &broker, &sealed, &receipt).await;

    gateway.kill();
    let _gateway = world.serve().await;
    same(&world, &broker, &sealed, &receipt).await;
}

async fn same(world: &World, broker: &Correspondent, sealed: &Sealed, receipt: &Bytes) {
    assert_eq!(broker.post(sealed).await.body, receipt, "the stored acknowledgment");
    assert_eq!(world.list("/messages").await.len(), 1);
    assert_eq!(world.list("/cases").await.len(), 1);
    assert_eq!(world.list("/deliveries").await.len(), 4, "customs and three agencies");
}
