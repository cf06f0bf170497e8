//! What a driver orders: hold, release, the end.

use super::*;

#[test]
fn a_pause_before_a_restart_shows_in_the_status() {
    run(async {
        let config = SupervisorConfig {
            backoff_first: Duration::from_secs(3600),
            backoff_max: Duration::from_secs(3600),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA]).await;
        bench.inject(ANNA, Fault::Stop).await;
        while bench.event(ANNA).await == EventKind::Started {}
        let status = bench.status(ANNA).await;
        assert!(matches!(status.state, ActorState::BackingOff { .. }));
        let fault = Fault::Stop;
        let refused = bench.order(Inject { name: ANNA, fault }).await;
        assert_eq!(refused, Err(SupervisorError::NotRunning { name: ANNA }));
        // Held and released, it starts at once.
        bench.order(Hold { name: ANNA }).await.expect("it is known");
        bench
            .order(Release { name: ANNA })
            .await
            .expect("it is held");
        bench.running(&[ANNA]).await.expect("it starts");
    });
}

#[test]
fn a_held_actor_stays_stopped_until_it_is_released() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA, BERT]).await;
        assert_eq!(bench.add(ANNA, 1).await, 1);
        bench.order(Hold { name: ANNA }).await.expect("it runs");
        assert!(!bench.network.book().contains(ANNA));
        assert_eq!(bench.status(ANNA).await.state, ActorState::Held);
        bench.until_ended(ANNA, 1).await;
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, EventKind::Held);
        let refused = bench.order(Release { name: BERT }).await;
        assert_eq!(refused, Err(SupervisorError::NotHeld { name: BERT }));
        assert_eq!(
            bench.status(ANNA).await.restarts,
            0,
            "nobody started it meanwhile"
        );

        bench
            .order(Release { name: ANNA })
            .await
            .expect("it is held");
        assert_eq!(
            bench.event(ANNA).await,
            EventKind::Restarted { incarnation: 2 }
        );
        assert_eq!(bench.add(ANNA, 1).await, 2);
    });
}

#[test]
fn the_end_comes_role_by_role_and_waits_for_nobody_for_ever() {
    run(async {
        let config = SupervisorConfig {
            finish_within: Duration::from_millis(300),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        let (validator, leader) = (ActorName::Validator(0), ActorName::Leader(0));
        let (hospital, patient) = (ActorName::Hospital(0), ActorName::Patient(0));
        bench.start(&[validator, leader, hospital, patient]).await;
        let spec = bench.spec(ANNA, true, false);
        bench.order(Start { spec }).await.expect("a free name");
        bench.running(&[]).await.expect("they start");

        let mut report = bench.order(Shutdown).await;
        report.finished[..2].sort_unstable();
        assert_eq!(report.finished, [hospital, patient, leader, validator]);
        assert_eq!(report.abandoned, [ANNA]);
        assert_eq!(bench.network.book().names(), []);
        let spec = bench.spec(BERT, false, false);
        let refused = bench.order(Start { spec }).await;
        assert_eq!(refused, Err(SupervisorError::ShuttingDown));
        assert_eq!(
            bench.order(Shutdown).await.abandoned,
            [ANNA],
            "the same report again"
        );
        // The threads end, and what is left on them with them.
        bench.until_ended(ANNA, 1).await;
    });
}

#[test]
fn names_are_unique_and_unknown_ones_are_refused() {
    run(async {
        let mut bench = Bench::new(quick()).await;
        bench.start(&[ANNA]).await;
        let specs = vec![
            bench.spec(BERT, false, false),
            bench.spec(ANNA, false, false),
        ];
        let taken = bench.order(StartMany { specs }).await;
        assert_eq!(taken, Err(SupervisorError::Taken { name: ANNA }));
        let unknown = SupervisorError::Unknown { name: BERT };
        assert_eq!(
            bench.order(Hold { name: BERT }).await,
            Err(unknown),
            "none was started"
        );
        assert_eq!(bench.order(Release { name: BERT }).await, Err(unknown));
        assert_eq!(bench.running(&[BERT]).await, Err(unknown));
    });
}

#[test]
fn five_hundred_actors_start_quickly() {
    run(async {
        let bench = Bench::new(SupervisorConfig::default()).await;
        let names = (0..50).flat_map(|patient| (0..10).map(move |n| ActorName::Kin(patient, n)));
        let specs: Vec<_> = names.map(|name| bench.spec(name, false, false)).collect();
        assert_eq!(specs.len(), 500);
        let start = Instant::now();
        bench.order(StartMany { specs }).await.expect("free names");
        bench.running(&[]).await.expect("they start");
        let took = start.elapsed();
        println!("500 actors run after {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        let start = Instant::now();
        assert_eq!(bench.order(Shutdown).await.finished.len(), 500);
        println!("and have finished after {:?}", start.elapsed());
    });
}
