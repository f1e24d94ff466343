//! A broker amends and withdraws: only those hear of it whom it concerns, and what customs answers reaches the broker
//! (domain brief, 5.3; rulings 21 to 24).

use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::until;
use crate::world::{Lodging, World, document};

/// Lodges; customs has the declaration and every agency its application.
async fn lodged(world: &World, broker: &Correspondent, lodging: &Lodging) {
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads.clone());
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    for (name, action) in
        [("customs", "GOVCBR929"), ("kfda", "GOVCBRX01"), ("npqs", "GOVCBRX02"), ("kpta", "GOVCBRFR2")]
    {
        arrived(world, name, action, 1).await;
    }
}

/// Waits until a partner has got so many documents of an Action; gives what they say.
async fn arrived(world: &World, name: &str, action: &str, count: usize) -> Vec<String> {
    until(&format!("{name} has {count} of {action}"), async || {
        let received = world.received(name).into_iter().filter(|received| &*received.action == action);
        let texts: Vec<_> = received.map(|r| r.text.as_deref().unwrap_or_default().to_owned()).collect();
        (texts.len() == count).then_some(texts)
    })
    .await
}

/// A change of a declaration; `body` is what stands between its number and its end.
fn change(name: &str, code: &str, declaration: &str, body: &str) -> String {
    format!(
        "<Declaration xmlns=\"urn:swgw:doc:{name}:1\"><TypeCode>{code}</TypeCode><ID>C-{declaration}</ID>\
         <IssueDateTime>2026-11-02T10:00:00+09:00</IssueDateTime>\
         <Declaration><ID>{declaration}</ID></Declaration>{body}</Declaration>"
    )
}

/// A line of goods that are food, and nothing else.
const SWEETS: &str = "<GovernmentAgencyGoodsItem><SequenceNumeric>2</SequenceNumeric><Commodity>\
    <CargoDescription>GINSENG CANDY</CargoDescription><Classification><ID>1704901000</ID></Classification></Commodity>\
    <GoodsMeasure><NetNetWeightMeasure unitCode=\"KGM\">20</NetNetWeightMeasure></GoodsMeasure>\
    <Origin><CountryCode>CN</CountryCode></Origin><UsageCode>SALE</UsageCode></GovernmentAgencyGoodsItem>";

async fn state(world: &World, lodging: &Lodging, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/cases/{}", lodging.declaration);
    until(what, async || Some(world.ask(&path).await).filter(|case| is(case))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amendment_reaches_customs_and_the_agency_that_it_concerns_and_its_result_the_broker() {
    let world = World::new();
    let _gateway = world.serve().await;
    let mut partners = vec![world.play("broker", &[]).await];
    for name in ["kfda", "npqs", "kpta"] {
        partners.push(world.play(name, &["--script", "ACCEPT,0s"]).await);
    }
    partners.push(world.play("customs", &["--customs-delay", "0s"]).await);
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    lodged(&world, &broker, &lodging).await;
    arrived(&world, "broker", "GOVCBRRBH", 3).await;

    // Sweets come along on a second line: food for KFDA, and nothing to the other two.
    let text = |code: &str| {
        let role = format!("urn:swgw:doc:{code}");
        let found = lodging.payloads.iter().find(|payload| payload.role.as_deref() == Some(&role));
        std::str::from_utf8(found.expect(code).body.held()).expect("is text").to_owned()
    };
    let replaces = |text: String| text.replacen("<FunctionCode>9<", "<FunctionCode>5<", 1);
    let amended = replaces(text("GOVCBR929"))
        .replacen("<GoodsItemQuantity>1<", "<GoodsItemQuantity>2<", 1)
        .replacen("</Declaration>", &format!("{SWEETS}</Declaration>"), 1);
    let application = replaces(text("GOVCBRX01"));
    let (before, item) = application.split_once("<LPCO>").expect("has an item");
    let second =
        item.replacen("<SequenceNumeric>1<", "<SequenceNumeric>2<", 1).replace("1211901000", "1704901000");
    let application = format!(
        "{before}<LPCO>{}",
        item.replacen("</Declaration>", &format!("<LPCO>{second}"), 1)
    )
    .replacen("<LoadingListQuantity>1<", "<LoadingListQuantity>2<", 1);
    let body = "<SequenceNumeric>1</SequenceNumeric><Reason><Text>As found</Text></Reason>\
                <Amendment><LineNumeric>2</LineNumeric><ItemCode>LINE</ItemCode></Amendment>";
    let payloads = vec![
        document("GOVCBR5FE", &change("AmendmentApplication", "GOVCBR5FE", &lodging.declaration, body)),
        document("GOVCBR929", &amended),
        document("GOVCBRX01", &application),
    ];
    let message = broker.message("GOVCBR5FE", &lodging.declaration, payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);

    arrived(&world, "customs", "GOVCBR5FE", 1).await;
    let versions = arrived(&world, "kfda", "GOVCBRX01", 2).await;
    assert_eq!(versions[1], application, "the new version, octet for octet (P6)");
    let result = arrived(&world, "broker", "GOVCBR5FK", 1).await;
    assert!(result[0].contains("<NameCode>06</NameCode>"), "{}", result[0]);
    let case = state(&world, &lodging, "the amendment is in the case", |case| {
        case["revision"] == 2 && case["customs_status"] == "06"
    })
    .await;
    assert_eq!(case["amendments"].as_array().map(Vec::len), Some(1));
    let of = |document: &str| {
        let all = case["applications"].as_array().expect("are there").iter();
        all.clone().find(|application| application["document"] == document).expect(document).clone()
    };
    assert_eq!(of("GOVCBRX01")["items"], serde_json::json!([1, 2]));
    assert_eq!(
        (&of("GOVCBRX02")["state"], &of("GOVCBRFR2")["state"]),
        (&"accepted".into(), &"accepted".into())
    );
    // Whatever was owed to the others would be there: what came of the amendment has come back already.
    assert_eq!(
        arrived(&world, "npqs", "GOVCBRX02", 1).await.len(),
        1,
        "it concerns plants no more than before"
    );
    assert_eq!(arrived(&world, "kpta", "GOVCBRFR2", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_asks_the_agencies_to_cancel_and_its_result_reaches_the_broker() {
    let world = World::new();
    let _gateway = world.serve().await;
    let mut partners = vec![world.play("broker", &[]).await];
    for (name, script) in [("kfda", "ACCEPT,0s"), ("npqs", "ACCEPT,0s"), ("kpta", "APPROVE,0s")] {
        partners.push(world.play(name, &["--script", script]).await);
    }
    partners.push(world.play("customs", &["--customs-delay", "0s"]).await);
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    lodged(&world, &broker, &lodging).await;
    arrived(&world, "broker", "GOVCBRFS7", 1).await;

    let body = "<Reason><Code>84</Code><Text>The goods go back</Text></Reason>";
    let withdrawal = change("WithdrawalApplication", "GOVCBR5BF", &lodging.declaration, body);
    let message = broker.message("GOVCBR5BF", &lodging.declaration, vec![document("GOVCBR5BF", &withdrawal)]);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);

    assert_eq!(arrived(&world, "customs", "GOVCBR5BF", 1).await, [withdrawal], "octet for octet (P6)");
    for (name, form, result) in [("kfda", "GOVCBRX01", "GOVCBRX51"), ("npqs", "GOVCBRX02", "GOVCBRX52")] {
        let asked = arrived(&world, name, form, 2).await;
        assert!(
            asked[1].contains("<FunctionCode>1</FunctionCode>") && asked[1].contains("The goods go back")
        );
        arrived(&world, "broker", result, 1).await;
    }
    let result = arrived(&world, "broker", "GOVCBR5BG", 1).await;
    assert!(result[0].contains("<NameCode>06</NameCode>"), "{}", result[0]);
    let ended = |case: &Value| {
        let all = case["applications"].as_array().expect("are there").iter();
        let decided: Vec<_> = all.map(|a| a["state"]["decided"].as_str().unwrap_or_default()).collect();
        case["state"] == "withdrawn" && decided.iter().filter(|outcome| **outcome == "cancelled").count() == 2
    };
    let case = state(&world, &lodging, "two agencies have cancelled", ended).await;
    assert_eq!(case["withdrawal"]["reason"], "84");
    assert_eq!(arrived(&world, "kpta", "GOVCBRFR2", 1).await.len(), 1, "who has decided is not asked");
}
