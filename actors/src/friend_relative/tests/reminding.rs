//! Kin who have not answered are shown a request again when the patient's rules say so (ADR 35).

use crate::friend_relative::messages::{Decide, Decision, Pending};
use crate::testing::{AUTHOR, House, PATIENCE};
use kithkin_protocol::emergency::{Escalation, Stage};
use kithkin_protocol::ids::{CaseId, KinId};
use kithkin_protocol::ledger::TxBody;
use kithkin_protocol::units::{Millis, Tier};
use std::io::Write;
use std::time::Instant;
use tokio::sync::watch;

/// What the devices' screens show: the log of the whole process.
struct Screens(watch::Sender<String>);

impl Write for Screens {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.send_modify(|shown| shown.push_str(&text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn screens() -> watch::Receiver<String> {
    let (show, shown) = watch::channel(String::new());
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Screens(show.clone()))
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("no other test watches screens");
    shown
}

/// How often a kin was shown the case again.
fn times(shown: &str, kin: KinId, case: CaseId) -> usize {
    let (kin, case) = (kin.to_string(), case.to_string());
    let again = shown
        .lines()
        .filter(|line| line.contains("a request still waits for an answer"));
    again
        .filter(|line| line.contains(&kin) && line.contains(&case))
        .count()
}

#[actix::test]
async fn who_has_not_answered_is_shown_the_request_again() {
    let mut shown = screens();
    let house = House::open(1).await;
    let mut wish = house.wish();
    wish.escalation = Escalation {
        remind_after_ms: Millis(1_000),
        ..wish.escalation
    };
    house.ask_patient(wish).await.expect("enrolled");
    let case = house.request(&[Tier::Chart]).await.case;
    let decision = Decision::Approve;
    house
        .ask_kin(0, Decide { case, decision })
        .await
        .expect("approved");
    let pending = house.ask_kin(1, Pending).await.expect("shown");
    assert!(pending.iter().any(|request| request.case == case));
    // Time moves with blocks.
    let until = Instant::now() + PATIENCE;
    while house.case(case).await.stage == Stage::Asked {
        assert!(Instant::now() < until, "nobody is reminded");
        let none = CaseId([9; 32]);
        let client = house.client(AUTHOR);
        let refused = client.submit(TxBody::Close { case: none }, House::deadline());
        refused.await.expect_err("there is no such case");
    }
    let kin: Vec<KinId> = (0..5).map(|n| house.kin(n)).collect();
    let all = |shown: &String| kin.iter().skip(1).all(|kin| times(shown, *kin, case) == 1);
    let told = tokio::time::timeout(PATIENCE, shown.wait_for(all)).await;
    drop(told.expect("in time").expect("a log"));
    let pending = house.ask_kin(1, Pending).await.expect("shown");
    let request = pending.iter().find(|request| request.case == case);
    assert!(request.expect("it waits").reminded);
    // Once is enough, and who has answered is left alone.
    house.until_looked(crate::testing::kin(1), 2).await;
    let now = shown.borrow().clone();
    assert_eq!([0, 1].map(|n| times(&now, kin[n], case)), [0, 1]);
}
