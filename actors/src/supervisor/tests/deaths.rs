//! Panics, stops and failed starts.

use super::*;

#[test]
fn after_a_panic_the_state_is_back_and_old_holders_of_the_name_reach_the_new_instance() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA, BERT]).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.add(ANNA, 2).await, 2);
        bench.inject(ANNA, Fault::Panic).await;
        assert_eq!(
            bench.add(ANNA, 3).await,
            5,
            "from the store, through the same port"
        );
        assert_eq!(bench.event(ANNA).await, died(panicked(), 1));
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
        let status = bench.status(ANNA).await;
        assert_eq!((status.restarts, status.state), (1, ActorState::Running));
        assert_eq!(status.last_reason, Some(panicked()));
        assert_eq!(bench.status(BERT).await.restarts, 0);
    });
}

#[test]
fn the_name_has_its_new_address_before_the_restart_is_announced() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA]).await;
        bench.inject(ANNA, Fault::Stop).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(RestartReason::Stopped, 1));
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
        // One try, no waiting.
        let sum = bench.driver.ask::<Adder, _>(ANNA, Add(1), DEADLINE).await;
        assert_eq!(sum, Ok(1));
    });
}

#[test]
fn a_second_panic_while_it_is_dropped_brings_nothing_down() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        let spec = bench.spec(ANNA, false, true);
        bench.order(Start { spec }).await.expect("a free name");
        bench.running(&[ANNA]).await.expect("it starts");
        bench.inject(ANNA, Fault::Panic).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(panicked(), 1));
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
    });
}

#[test]
fn too_many_deaths_end_in_a_loud_surrender_and_the_others_go_on() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA, BERT]).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        for incarnation in 1..=4 {
            bench.inject(ANNA, Fault::Panic).await;
            assert_eq!(bench.event(ANNA).await, died(panicked(), incarnation));
            if incarnation < 4 {
                let incarnation = incarnation + 1;
                assert_eq!(
                    bench.event(ANNA).await,
                    EventKind::Restarted { incarnation }
                );
            }
        }
        let reason = panicked();
        let given_up = EventKind::GivenUp {
            reason: reason.clone(),
            deaths: 4,
        };
        assert_eq!(bench.event(ANNA).await, given_up);
        assert_eq!(
            bench.status(ANNA).await.state,
            ActorState::GivenUp { reason }
        );
        let gone = SupervisorError::GivenUp { name: ANNA };
        assert_eq!(bench.running(&[ANNA]).await, Err(gone));
        assert!(!bench.network.book().contains(ANNA));
        assert_eq!(bench.add(BERT, 1).await, 1);

        bench
            .order(Release { name: ANNA })
            .await
            .expect("a second chance");
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 5 }
        );
    });
}

#[test]
fn an_actor_that_does_not_start_is_tried_again() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        let good = bench.spec(ANNA, false, false);
        let spec = Spec::new(ANNA, move |birth| match birth.incarnation() {
            1 => Err(StartError::new("the disk is asleep")),
            2 => panic!("the factory breaks"),
            _ => (good.make)(birth),
        });
        bench.order(Start { spec }).await.expect("a free name");
        bench.running(&[ANNA]).await.expect("at the third try");
        let failed = |message: &str| RestartReason::StartFailed {
            message: message.to_owned(),
        };
        assert_eq!(
            bench.event(ANNA).await,
            died(failed("the disk is asleep"), 1)
        );
        let panicked = failed("panicked: the factory breaks");
        assert_eq!(bench.event(ANNA).await, died(panicked, 2));
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.add(ANNA, 1).await, 1);
    });
}
