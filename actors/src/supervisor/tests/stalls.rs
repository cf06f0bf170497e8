//! Blocked threads and unserved mailboxes.

use super::*;

#[test]
fn a_stalled_actor_moves_to_a_fresh_thread_and_the_old_instance_is_fenced_off() {
    run(async {
        let config = SupervisorConfig {
            arbiters: 1,
            stall_after: Duration::from_millis(300),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        bench
            .inject(ANNA, Fault::Stall(Duration::from_secs(2)))
            .await;
        // Waits in the blocked mailbox: what the old instance does with it must not count.
        bench.driver.tell::<Adder, _>(ANNA, Add(100));
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(RestartReason::Stalled, 1));
        assert_eq!(
            bench.add(ANNA, 1).await,
            1,
            "the new instance works beside the blocked one"
        );
        assert_eq!(
            bench.add(BERT, 1).await,
            1,
            "the neighbour was moved with it"
        );
        assert_eq!(
            bench.status(BERT).await.last_reason,
            Some(RestartReason::Stalled)
        );

        let old = bench.ports.lock().expect("no panic")[0].clone();
        assert_eq!(old.me(), ANNA);
        let fenced = bench.network.stats().total.fenced;
        old.tell::<Adder, _>(BERT, Add(50));
        assert_eq!(bench.network.stats().total.fenced, fenced + 1);

        bench.until_ended(ANNA, 1).await;
        assert_eq!(
            bench.add(ANNA, 1).await,
            2,
            "it could not write when it woke up"
        );
        assert_eq!(bench.add(BERT, 0).await, 1);
    });
}

#[test]
fn a_start_that_waited_on_a_blocked_thread_is_forgotten() {
    run(async {
        let config = SupervisorConfig {
            arbiters: 1,
            stall_after: Duration::from_millis(300),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA]).await;
        let toil = Toil::new(Duration::from_secs(2));
        let begun = toil.begun.clone();
        bench.driver.tell::<Adder, _>(ANNA, toil);
        let blocked = tokio::time::timeout(DEADLINE, begun.notified()).await;
        blocked.expect("she gets to it");
        // Its factory waits behind the blocked actor, then runs on the fresh thread.
        let spec = bench.spec(BERT, false, false);
        bench.order(Start { spec }).await.expect("a free name");
        assert_eq!(
            bench.event(BERT).await,
            died(RestartReason::Stalled, 1),
            "it never ran"
        );
        bench.running(&[ANNA, BERT]).await.expect("they start");
        bench.until_ended(ANNA, 1).await;
        // The old thread is awake, and has come to the factory that waited there.
        assert_eq!(bench.add(ANNA, 1).await + bench.add(BERT, 1).await, 2);
        let births = bench.ports.lock().expect("no panic").len();
        assert_eq!(births, 3, "two of the one, one of the other");
    });
}

#[test]
fn neighbours_of_one_who_keeps_stalling_are_not_given_up() {
    run(async {
        let config = SupervisorConfig {
            arbiters: 1,
            stall_after: Duration::from_millis(160),
            deaths_max: 3,
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        for _ in 0..3 {
            bench.running(&[ANNA]).await.expect("it starts");
            bench
                .inject(ANNA, Fault::Stall(Duration::from_secs(2)))
                .await;
            while !matches!(bench.event(ANNA).await, EventKind::Died { .. }) {}
        }
        let last = bench.event(ANNA).await;
        let reason = RestartReason::Stalled;
        assert_eq!(last, EventKind::GivenUp { reason, deaths: 3 });
        assert_eq!(bench.add(BERT, 1).await, 1);
        assert_eq!(bench.status(BERT).await.restarts, 3);
    });
}

#[test]
fn an_unserved_mailbox_on_a_running_thread_is_noticed_too() {
    run(async {
        let config = SupervisorConfig {
            stall_after: Duration::from_millis(100),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        bench.driver.tell::<Adder, _>(ANNA, Hang);
        assert_eq!(bench.event(ANNA).await, EventKind::Started);
        assert_eq!(bench.event(ANNA).await, died(RestartReason::Stalled, 1));
        bench.until_ended(ANNA, 1).await;
        assert_eq!(bench.add(ANNA, 1).await, 1);
        assert_eq!(bench.status(BERT).await.restarts, 0);
    });
}

#[test]
fn heavy_work_in_pieces_is_no_stall() {
    run(async {
        let config = SupervisorConfig {
            arbiters: 1,
            stall_after: Duration::from_millis(1500),
            ..quick()
        };
        let mut bench = Bench::new(config).await;
        bench.start(&[ANNA, BERT]).await;
        // Four seconds of work, 100 ms at a time: the thread is busy for longer than the limit, yet
        // gets from one actor to the next in between.
        for _ in 0..20 {
            let toil = Toil::new(Duration::from_millis(100));
            let (a, b) = tokio::join!(
                bench.driver.ask::<Adder, _>(ANNA, toil.clone(), DEADLINE),
                bench.driver.ask::<Adder, _>(BERT, toil, DEADLINE),
            );
            assert_eq!((a, b), (Ok(()), Ok(())));
        }
        for name in [ANNA, BERT] {
            assert_eq!(bench.status(name).await.restarts, 0);
        }
    });
}
